"""What users configure: codspeed.yml, their own profiles, and what a shell session remembers."""

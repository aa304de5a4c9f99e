"""The CodSpeed service: uploader and login."""

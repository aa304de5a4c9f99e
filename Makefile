# The menu; the work is in scripts/. PYTHON=... names another interpreter than python3.

.PHONY: help demo test lint fix soak clean

help: ## show this menu
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

demo: ## install everything, run real benchmarks twice, compare them
	@scripts/demo

test: ## everything that CI runs: lint, then all tests
	@scripts/test

lint: ## ruff, mypy, import contracts; changes nothing
	@scripts/lint

fix: ## format, and repair what ruff can repair
	@scripts/fix

soak: ## the tests again and again, with many more examples; SOAK_ROUNDS=3
	@scripts/soak

clean: ## remove environments, caches and build results
	@scripts/clean

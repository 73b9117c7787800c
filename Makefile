# credd's chores. `make demo` and `make test` each work as the very first command on a fresh
# machine with Python 3.11 or newer: they create .venv and install what they need into it.

VENV    := .venv
# How long `make demo` runs, in seconds.
SECONDS := 60
# Extra arguments: make test ARGS='-k vault -x'
ARGS    :=

# Set this to choose the interpreter: make PYTHON=/path/to/python3.11 test
PYTHON ?=
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help venv demo test check format bench clean
.DELETE_ON_ERROR:

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Options: make demo SECONDS=20; make test ARGS='-k vault'; make PYTHON=/path/to/python3.11 venv"

venv: $(VENV)/.installed  ## create .venv with everything the other targets need

demo: $(VENV)/.installed  ## a training job that outlives its tokens: SECONDS=60
	$(VENV)/bin/python -m demo --seconds $(SECONDS)

test: $(VENV)/.installed  ## run all tests
	$(VENV)/bin/python -m pytest $(ARGS)

check: $(VENV)/.installed  ## lint, format check, strict types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy --strict credd demo bench

format: $(VENV)/.installed  ## put the code into its form
	$(VENV)/bin/ruff check --fix-only
	$(VENV)/bin/ruff format

bench: $(VENV)/.installed  ## each goal of docs/performance.md as a ratio; a table at the end
	$(VENV)/bin/python -m bench $(ARGS)

clean:  ## remove .venv and every cache
	rm -rf $(VENV) .venv-guest dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find credd demo tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Each candidate is really run: a pyenv shim is on PATH and yet fails when started.
# An environment made by the same Python is kept and brought up to date; any other starts afresh.
# The venv's own pip is renewed first, because `--group` (PEP 735) needs pip 25.1.
$(VENV)/.installed: pyproject.toml constraints.txt
	@set -e; \
	suits='import sys; sys.exit(sys.version_info < (3, 11))'; \
	chosen=; bare=; seen=; \
	for candidate in $${PYTHON:-python3.13 python3.12 python3.11 python3}; do \
	    "$$candidate" -c '' >/dev/null 2>&1 || continue; \
	    seen="$$seen $$candidate"; \
	    "$$candidate" -c "$$suits" || continue; \
	    if "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
	        chosen=$$candidate; break; \
	    fi; \
	    bare=$${bare:-$$candidate}; \
	done; \
	if [ -z "$$chosen" ] && [ -n "$$bare" ]; then \
	    package=$$("$$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	    echo "error: $$bare has no working venv module (venv, ensurepip)" >&2; \
	    echo "remedy: apt-get install python3-venv   (or $$package), or name another Python:" >&2; \
	elif [ -z "$$chosen" ]; then \
	    echo "error: credd needs Python 3.11 or newer; found:$${seen:- none}" >&2; \
	    echo "remedy: apt-get install python3 python3-venv, or name a newer Python:" >&2; \
	fi; \
	if [ -z "$$chosen" ]; then \
	    echo "    make PYTHON=/path/to/python3.11 $(or $(MAKECMDGOALS),venv)" >&2; \
	    exit 1; \
	fi; \
	echo "creating $(VENV) with $$("$$chosen" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	clear=--clear; \
	if [ "$$($(VENV)/bin/python -VV 2>/dev/null)" = "$$("$$chosen" -VV)" ]; then clear=; fi; \
	"$$chosen" -m venv $$clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[daemon]' --group dev
	@# Nobody here needs it, and its start-up file costs each Python process of this environment 0.4 ms.
	@$(VENV)/bin/python -m pip uninstall -qqq --disable-pip-version-check --yes setuptools
	@touch $@

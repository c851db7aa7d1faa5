PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check format system clean

demo: $(VENV)/.core system   ## ask aloud about a picture, with nothing but what pip installs
	$(BIN)/mmcli demo -o out/demo-reply.wav

test: check   ## everything that must hold before a change lands
	$(BIN)/python -m pytest -n 2

check: $(STAMP) system   ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# PortAudio is the one system library that no wheel carries; without it everything but playing works.
system:
	@if ldconfig -p | grep -q libportaudio.so.2; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  (apt-get update -qq && apt-get install -y -qq --no-install-recommends libportaudio2) >/dev/null 2>&1 \
	    || echo "could not install libportaudio2: mmcli will not play sound" >&2; \
	else echo "to play sound, install PortAudio: sudo apt-get install libportaudio2" >&2; fi

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

$(STAMP): $(VENV)/.core
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) out dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

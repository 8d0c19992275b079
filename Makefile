# The template's commands. The generated project has its own Makefile. Requires Python >= 3.11, pip and make.
# If uv is not installed, it is downloaded into .uv/.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
PROJECT := {{cookiecutter.project_slug}}
export PATH := $(CURDIR)/.uv/bin:$(PATH)
# Some container images set it. Each of the many processes that tests start would then compile all modules: seconds.
unexport PYTHONDONTWRITEBYTECODE

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(UV)  ## Generate the default project into .demo/acme and run it; Ctrl-C stops everything
	@$(UV) run --quiet --no-default-groups --group bake python -m tools.demo
	@$(UV) run --directory .demo/acme dev

test: $(UV)  ## Run all tests: the project's, the packages', the template's
	$(UV) run --directory "$(PROJECT)" pytest --all
	@$(MAKE) --no-print-directory test-packages
	$(UV) run pytest -n 2 --dist loadfile

test-packages: $(UV)  ## Run the tests of filerouter, devstack and saaskit
	$(UV) run --directory "$(PROJECT)" pytest -c ../tests/packages.toml ../tests/packages -n 2

check: $(UV)  ## Check lint, formatting, types, workflows and containers, then the project
	$(UV) run ruff check hooks tests tools benchmarks
	$(UV) run ruff format --check hooks tests tools benchmarks
	$(UV) run pyright
	$(UV) run --directory "$(PROJECT)" pyright -p ../tests/packages
	$(UV) run --directory "$(PROJECT)" pyright -p ../benchmarks
	$(UV) run yamllint --strict .
	$(UV) run zizmor --quiet --offline .github "$(PROJECT)/.github"
	$(UV) run hadolint "$(PROJECT)/Dockerfile"
	POSTGRES_PASSWORD=x VALKEY_PASSWORD=x ALLOWED_HOSTS=x PUBLIC_URL=x SIGNING_KEYS=x ENCRYPTION_KEYS=x \
	  $(UV) run docker-compose -f "$(PROJECT)/compose.yaml" config --quiet
	$(MAKE) --no-print-directory -C "$(PROJECT)" check

docs: $(UV)  ## Serve the site at http://127.0.0.1:8800 and rebuild it on every save; Ctrl-C stops it
	@$(UV) run --quiet --no-default-groups --group docs zensical serve --dev-addr 127.0.0.1:8800

golden: $(UV)  ## Update the files that are generated from the project: trees, contracts, reference tables; read the diff
	$(UV) run pytest --update-golden -k golden

.uv/bin/uv:
	@printf 'No uv on this machine: installing it into .uv/ ... '; start=$$(date +%s); \
	  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .uv "uv>=0.13" && \
	  echo "$$(($$(date +%s) - start)) s"

.PHONY: help demo test test-packages check docs golden

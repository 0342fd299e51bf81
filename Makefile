# Every verb of the project; `make help` lists them. What is built lies in build/, what runs in var/.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

BUILD ?= build
VAR ?= var
PORT ?=
STORY ?=
SECONDS ?= 20
JOBS ?= $(shell nproc)

# Debian packages: to build and run; to test besides; to fuzz besides; what benchmarks compare with.
PACKAGES := \
	gcc libc6-dev make perl curl ca-certificates openssl nginx nginx-dev redis-server postgresql ffmpeg espeak-ng-data \
	libpq-dev libhiredis-dev libjansson-dev libcurl4-openssl-dev libssl-dev libmicrohttpd-dev \
	libargon2-dev libyaml-dev libpcre2-dev libidn2-dev zlib1g-dev libzip-dev libxml2-dev flite1-dev libespeak-ng-dev libopus-dev libogg-dev libmp3lame-dev libebur128-dev \
	fonts-dejavu-core fonts-noto-core fonts-noto-cjk fonts-symbola
TEST_PACKAGES := libcmocka-dev libjwt-dev libtest-base-perl libio-socket-ssl-perl libdbd-pg-perl pocketsphinx pocketsphinx-en-us epubcheck wrk \
	clang-format universal-ctags systemd faketime chromium
FUZZ_PACKAGES := clang
VALGRIND_PACKAGES := valgrind
# Whoever has npm keeps it, wherever it came from.
PACKAGES += $(if $(shell command -v npm),,npm)
BENCH_PACKAGES := haproxy libnginx-mod-http-lua libnginx-mod-http-js lua-cjson lua-resty-core \
	ruby-sidekiq ruby-hiredis ruby-pg python3-celery python3-redis python3-psycopg2 epubcheck

# --- verbs -------------------------------------------------------------------------------------------------------

# Verbs go step by step, whatever -j says; the inner make, which builds files, takes all processors.
INNER := all programs tests fuzzers tools $(BUILD)/%
ifneq ($(filter-out $(INNER),$(or $(MAKECMDGOALS),help)),)
.NOTPARALLEL:
endif
# (A recipe needs its + to hand on the job server: make does not look into variables.)
INNER_MAKE = $(MAKE) $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))
INSTANCE = --var '$(VAR)' --build '$(BUILD)' $(if $(PORT),--port '$(PORT)')
EXAMPLE = $(firstword $(wildcard config/examples/*.txt))

.PHONY: help deps deps-test build run down status test test-asan check lint format asan memcheck bench deps-bench fuzz new-service clean

help: ## what can be done here
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

deps: ## install the Debian packages that are missing; no service of the host is touched
	@systemd/deps $(PACKAGES)

deps-test: ## the same, with what the tests need
	@systemd/deps $(PACKAGES) $(TEST_PACKAGES)

build: ## compile everything into build/
	+@$(INNER_MAKE) all

run: deps build ## start the platform and follow one story through it: STORY=file PORT=8443
	@systemd/platform up $(INSTANCE)
	@eval "$$(systemd/platform env --var '$(VAR)')"; exec $(BUILD)/bin/storyctl tell \
		--url "$$URL" --ca "$$CA" --outbox "$$OUTBOX" '$(or $(STORY),$(EXAMPLE))'

down: ## stop everything that run has started
	@systemd/platform down $(INSTANCE)

status: ## health of each part
	@systemd/platform status $(INSTANCE)

test: deps-test build lint ## everything: lint and all suites, each with servers of its own
	+@$(INNER_MAKE) tests
	@tests/run --build '$(BUILD)' all

test-%: deps-test build ## one suite: unit edge api flow fault systemd readme; one file of it: T=tests/api/story.t
	+@$(INNER_MAKE) tests
	@tests/run --build '$(BUILD)' $(or $(T),$*)

check: deps-test build lint ## lint and the quick suites, in under a minute
	+@$(INNER_MAKE) tests
	@RELOAD=0 tests/run --build '$(BUILD)' --jobs 2 unit tests/systemd/units.t edge

lint: ## layers, ceilings, banned functions, layout
	@tests/lint

format: ## clang-format over all C
	@git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 clang-format -i

asan: deps-test build ## suites under AddressSanitizer and UBSan: SUITES="unit edge api flow"
	+@$(INNER_MAKE) BUILD='$(BUILD)/asan' SANITIZE=1 programs tests '$(BUILD)/asan/$(notdir $(MODULE))'
	@ASAN=1 tests/run --build '$(BUILD)/asan' $(or $(SUITES),unit edge api flow)

test-asan: asan

memcheck: deps-test build ## the edge under valgrind: T="tests/edge/auth.t ..." for other files than a choice
	@systemd/deps $(VALGRIND_PACKAGES)
	@VALGRIND=1 RELOAD=0 tests/run --build '$(BUILD)' $(or $(T),$(addprefix tests/edge/,auth.t limit.t body.t hangup.t upload.t cache.t link.t))

deps-bench: deps-test ## the same, with the gateways and job queues that ours are compared with
	@systemd/deps $(BENCH_PACKAGES)

BENCHES := $(sort $(basename $(notdir $(wildcard tests/bench/*.bench))))
bench: $(if $(filter edge events media,$(or $(SUITE),$(BENCHES))),deps-bench,deps-test) build ## measure; figures also in build/bench/<suite>.json: SUITE=platform
	+@$(INNER_MAKE) tools
	@status=0; for suite in $(or $(SUITE),$(BENCHES)); do echo "== $$suite"; \
		tests/bench/$$suite.bench --build '$(BUILD)' --out "$(BUILD)/bench/$$suite.json" || status=1; done; exit $$status

bench-%: ## one suite: platform speech edge events analysis soak; analysis: CORPUS=dir of annotated novels
	@$(MAKE) bench SUITE=$*

fuzz: ## feed each parser hostile bytes: SECONDS=20 for each, TARGET=route for one
	@systemd/deps $(PACKAGES) $(FUZZ_PACKAGES)
	+@$(INNER_MAKE) BUILD='$(BUILD)/fuzz' FUZZ=1 fuzzers
	@for target in $(if $(TARGET),$(BUILD)/fuzz/fuzz_$(TARGET),$(FUZZERS:$(BUILD)/%=$(BUILD)/fuzz/%)); do echo "== $$target"; \
		mkdir -p $$target.corpus; $$target -max_total_time=$(SECONDS) -artifact_prefix=$$target- $$target.corpus \
		$$(ls -d tests/fuzz/corpus/$${target##*fuzz_} 2>/dev/null) || exit 1; done

new-service: ## NAME=x: a new service that builds, runs and passes
	@workers/new-service '$(NAME)'

clean: ## remove build/
	rm -rf '$(BUILD)'

# --- how things are compiled -------------------------------------------------------------------------------------

CC := gcc
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wvla -Wformat=2 \
	-Wno-missing-field-initializers
CFLAGS := -std=gnu17 -D_GNU_SOURCE -O2 -g $(WARNINGS) -fstack-protector-strong
CPPFLAGS := -Iworkers/lib -Iworkers -isystem /usr/include/postgresql -isystem /usr/include/opus -isystem /usr/include/libxml2
LDFLAGS := -Wl,--as-needed -Wl,-z,relro,-z,now
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ifdef FUZZ
CC := clang
CFLAGS += -Wno-unknown-warning-option -Wno-unknown-attributes -fsanitize=fuzzer-no-link $(SANITIZERS)
LDFLAGS += $(SANITIZERS)
else ifdef SANITIZE
CFLAGS += $(SANITIZERS)
LDFLAGS += $(SANITIZERS)
else
CFLAGS += -D_FORTIFY_SOURCE=2
endif
LDLIBS := -lpq -lhiredis -ljansson -lyaml -lpcre2-8 -lidn2 -lz -lcurl -lcrypto -lmicrohttpd -largon2 -lmp3lame -lopus -logg -lebur128 \
	-lflite_cmu_us_slt -lflite_cmu_us_rms -lflite_cmu_us_awb -lflite_cmu_us_kal16 -lflite_cmu_us_kal \
	-lflite_usenglish -lflite_cmulex -lflite -lespeak-ng -lzip -lxml2 -pthread -lm

OBJ := $(BUILD)/obj
object = $(patsubst %.c,$(OBJ)/%.o,$(1))

LIB_SOURCES := $(wildcard workers/lib/*/*.c)
# workers/<name>/<name>.c makes a daemon; the other files of the folder are also an archive for the unit tests.
FOLDERS := $(filter-out lib,$(notdir $(patsubst %/,%,$(wildcard workers/*/))))
SERVICES := $(filter-out storyctl,$(foreach name,$(FOLDERS),$(if $(wildcard workers/$(name)/$(name).c),$(name))))
sources = $(filter-out workers/narration/speak_% workers/story/import_%,$(wildcard workers/$(1)/*.c))
SPEAK_SOURCES := $(wildcard workers/narration/speak_*.c)
IMPORT_SOURCES := $(wildcard workers/story/import_*.c) $(wildcard workers/story/charsets.c)
TEST_SOURCES := $(wildcard tests/unit/test_*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
BENCH_SOURCES := $(wildcard tests/bench/tools/*.c)
FAULT_SOURCES := $(wildcard tests/fault/*.c)
SOURCES := $(LIB_SOURCES) $(wildcard workers/*/*.c) $(TEST_SOURCES) $(FUZZ_SOURCES) $(BENCH_SOURCES) $(FAULT_SOURCES)

LIBRARY := $(BUILD)/libst.a
ARCHIVES := $(FOLDERS:%=$(BUILD)/lib/%.a)
PROGRAMS := $(SERVICES:%=$(BUILD)/bin/%d) $(if $(SPEAK_SOURCES),$(BUILD)/bin/narration-speak) \
	$(if $(IMPORT_SOURCES),$(BUILD)/bin/story-import) \
	$(if $(wildcard workers/storyctl/*.c),$(BUILD)/bin/storyctl)
TESTS := $(TEST_SOURCES:tests/unit/%.c=$(BUILD)/tests/%)
FAULT_DAEMONS := $(FAULT_SOURCES:tests/fault/%.c=$(BUILD)/tests/fault/%d)
FUZZERS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/%)
BENCH_TOOLS := $(BENCH_SOURCES:tests/bench/tools/%.c=$(BUILD)/bench/%)
MODULE := $(BUILD)/ngx_http_api_module.so
DOCS := $(BUILD)/ui/docs.stamp
CATALOGUE := $(BUILD)/ui/events.stamp
# What a suite compares with, from npm: folders of tests/bench/peers.
NPM_PEERS := $(if $(filter edge,$(or $(SUITE),$(BENCHES))),fastify) $(if $(filter events,$(or $(SUITE),$(BENCHES))),queues)

.PHONY: all programs tests fuzzers tools
all: programs $(MODULE) $(DOCS) $(CATALOGUE)
programs: $(PROGRAMS)
# Fuzzers and what benchmarks run are compiled, too, so that they follow what they call.
tests: $(TESTS) $(FAULT_DAEMONS) $(BUILD)/tests/s3rver/npm.stamp $(BUILD)/tests/tus/npm.stamp \
	$(call object,$(FUZZ_SOURCES) $(BENCH_SOURCES))
fuzzers: $(FUZZERS)
tools: $(BENCH_TOOLS) $(NPM_PEERS:%=$(BUILD)/bench/%/npm.stamp)

# Objects are made anew when the flags change, archives also when a source has gone.
$(BUILD)/%.stamp: FORCE
	@mkdir -p $(@D)
	@echo '$(STAMP)' | cmp -s - $@ || echo '$(STAMP)' >$@
FORCE:
$(BUILD)/flags.stamp: STAMP = $(CC) $(CFLAGS) $(CPPFLAGS)
$(BUILD)/link.stamp: STAMP = $(LDFLAGS) $(LDLIBS) $(sort $(SOURCES))

$(OBJ)/%.o: %.c $(BUILD)/flags.stamp
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CFLAGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

define archive =
@mkdir -p $(@D)
@rm -f $@
@echo '  AR    $@'
@ar rcsD $@ $(filter %.o,$^)
endef
define link =
@mkdir -p $(@D)
@echo '  LINK  $@'
@$(CC) $(LDFLAGS) $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LDLIBS) -o $@
endef

$(LIBRARY): $(call object,$(LIB_SOURCES)) $(BUILD)/link.stamp
	$(archive)

define folder =
$(BUILD)/lib/$(1).a: $(call object,$(filter-out workers/$(1)/$(1).c %_main.c,$(wildcard workers/$(1)/*.c))) $(BUILD)/link.stamp
	$$(archive)
$(BUILD)/bin/$(if $(filter storyctl,$(1)),$(1),$(1)d): $(call object,$(call sources,$(1))) $(LIBRARY) $(BUILD)/link.stamp
	$$(link)
endef
$(foreach name,$(FOLDERS),$(eval $(call folder,$(name))))

$(BUILD)/bin/narration-speak: $(call object,$(SPEAK_SOURCES)) $(LIBRARY) $(BUILD)/link.stamp
	$(link)

$(BUILD)/bin/story-import: $(call object,$(IMPORT_SOURCES)) $(LIBRARY) $(BUILD)/link.stamp
	$(link)

$(BUILD)/tests/%: $(OBJ)/tests/unit/%.o $(ARCHIVES) $(LIBRARY) $(BUILD)/link.stamp
	$(link)
$(TESTS): private LDLIBS += -lcmocka
$(BUILD)/tests/test_token: private LDLIBS += -ljwt

$(BUILD)/tests/fault/%d: $(OBJ)/tests/fault/%.o $(LIBRARY) $(BUILD)/link.stamp
	$(link)

$(BUILD)/fuzz_%: $(OBJ)/tests/fuzz/fuzz_%.o $(ARCHIVES) $(LIBRARY) $(BUILD)/link.stamp
	$(link)
$(FUZZERS): private LDFLAGS += -fsanitize=fuzzer

# The page of the contracts: ours around a renderer from npm, exactly as the lock names it. No script of a package runs.
# Without npm's registry the platform is whole all the same, but for that page.
$(DOCS): $(wildcard ui/docs/*)
	@echo '  NPM   ui/docs'
	@rm -rf $(BUILD)/ui && mkdir -p $(BUILD)/ui/docs $(BUILD)/npm && cp ui/docs/package*.json $(BUILD)/npm
	@cp ui/docs/*.{html,js,css} $(BUILD)/ui/docs
	@npm ci --prefix $(BUILD)/npm --ignore-scripts --no-audit --no-fund --fetch-retries=1 --loglevel=error && \
		cp $(BUILD)/npm/node_modules/swagger-ui-dist/{LICENSE,swagger-ui.css,swagger-ui-bundle.js} $(BUILD)/ui/docs || \
		echo 'ui/docs: npm could not fetch the renderer of /docs, which only says so now. With its registry, or a mirror' \
		'(npm config set registry URL): rm $@ and run make again.' >&2
	@touch $@

# The catalogue of events, beside it: from the registry, and from what the daemons say that they subscribe to.
$(CATALOGUE): $(DOCS) $(PROGRAMS) $(wildcard config/events/*.json ui/events/*)
	@echo '  PAGE  ui/events'
	@mkdir -p $(BUILD)/ui/docs/events && cp ui/events/events.css $(BUILD)/ui/docs/events
	@$(BUILD)/bin/storyctl events catalog --bin $(BUILD)/bin --html >$(BUILD)/ui/docs/events/index.html
	@$(BUILD)/bin/storyctl --json events catalog --bin $(BUILD)/bin >$(BUILD)/ui/docs/events/asyncapi.json
	@touch $@

# A server or client for a test, exactly as the lock names it; without npm's registry that test is skipped, and says so.
$(BUILD)/tests/%/npm.stamp: tests/lib/%/package.json tests/lib/%/package-lock.json
	@echo '  NPM   tests/lib/$*'
	@rm -rf $(@D) && mkdir -p $(@D) && cp $^ $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --fetch-retries=1 --loglevel=error || rm -rf $(@D)/node_modules
	@touch $@

$(BUILD)/bench/%: $(OBJ)/tests/bench/tools/%.o $(LIBRARY) $(BUILD)/link.stamp
	$(link)
$(BUILD)/bench/analyse: $(BUILD)/lib/story.a
$(BUILD)/bench/film: $(BUILD)/lib/video.a
$(BUILD)/bench/events: $(BUILD)/lib/story.a
$(BUILD)/bench/events: LDFLAGS += -Wl,--wrap=st_emit

$(BUILD)/bench/%/npm.stamp: tests/bench/peers/%/package.json tests/bench/peers/%/package-lock.json
	@echo '  NPM   tests/bench/peers/$*'
	@rm -rf $(@D) && mkdir -p $(@D) && cp $^ $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --fetch-retries=1 --loglevel=error && touch $@

.PRECIOUS: $(OBJ)/%.o
-include $(patsubst %.o,%.d,$(call object,$(SOURCES)))
-include ngx_modules/module.mk

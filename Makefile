# pai: build, run, test. `make help` lists the targets.
#
# A caller may set: FLAVOUR (release, asan, hard), CC, CFLAGS_EXTRA, V=1, PREFIX, DESTDIR.

FLAVOUR ?= release
PREFIX ?= /usr/local
DESTDIR ?=
CC := gcc
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

BUILD := $(if $(filter release,$(FLAVOUR)),build,build/$(FLAVOUR))
OBJ := $(BUILD)/obj
BIN := $(BUILD)/bin/pai
LIB := $(BUILD)/lib/pai

# Capabilities with a heavy library behind them: NAME is built from host/NAME*.c and host/l_NAME.c
# into lib/pai/NAME.so; ALSO_NAME are files of another one that it has a copy of. They link neither
# liblua nor the host: both come from the executable.
MODULES := http serve db crypto yaml sign ws scan
PKG_http := libcurl
PKG_serve := libmicrohttpd libcrypto
ALSO_ws := http_multi http_tls l_http_tls
ALSO_serve := ws_codec ws_conn ws_upgrade l_ws_conn
PKG_db := sqlite3
PKG_crypto := libcrypto
PKG_yaml := yaml-0.1
PKG_sign := libcrypto yaml-0.1
PKG_ws := libcurl libcrypto
PKG_scan := libpcre2-8

LUA_CFLAGS = $(shell pkg-config --cflags lua5.4)
LUA_STATIC = $(shell pkg-config --variable=libdir lua5.4)/liblua5.4.a
# For host/digest.c, which says why.
SHA_STATIC = $(shell pkg-config --variable=libdir libcrypto)/libcrypto.a

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wformat=2 -Werror
MODE_release := -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong
MODE_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
MODE_hard := -O1 -g -DPAI_HARD
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE $(WARN) $(MODE_$(FLAVOUR)) -fPIC -Ihost -Ihost/include $(LUA_CFLAGS) \
             $(CFLAGS_EXTRA)
LDFLAGS_ALL = -pie -Wl,--dynamic-list=host/exports.list -Wl,-z,relro,-z,now $(if $(filter asan,$(FLAVOUR)),-fsanitize=address$(,)undefined)
, := ,

MODULE_SRC := $(foreach m,$(MODULES),$(wildcard host/$(m).c host/$(m)_*.c host/l_$(m).c host/l_$(m)_*.c))
CORE_SRC := $(filter-out $(MODULE_SRC),$(wildcard host/*.c))
CORE_OBJ := $(CORE_SRC:host/%.c=$(OBJ)/%.o)
MODULE_SO := $(foreach m,$(MODULES),$(if $(wildcard host/l_$(m).c),$(LIB)/$(m).so))
LUA_SRC := $(shell find lua/pai -name '*.lua' ! -path 'lua/pai/meta/*')
BYTECODE := $(LIB)/lua.bundle

.PHONY: build
build: $(BIN) $(MODULE_SO) $(BYTECODE) ## builds the pai executable and its modules under build/

# A source that does not compile stops the build, not those who edit another one: they run from
# source, which wins over an older bundle.
$(BYTECODE): $(LUA_SRC) lua/luac.lua $(BIN)
	@echo "LUAC $@"
	$(Q)$(BIN) lua lua/luac.lua $@ $(LUA_SRC)

$(BIN): $(CORE_OBJ) host/exports.list
	@mkdir -p $(@D)
	@echo "LD $@"
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@.new $(filter %.o,$^) $(LUA_STATIC) $(SHA_STATIC) -lm -ldl
	$(Q)mv $@.new $@

$(OBJ)/%.o: host/%.c Makefile
	@mkdir -p $(@D)
	@echo "CC $<"
	$(Q)$(CC) $(CFLAGS_ALL) $(if $(MOD),$(shell pkg-config --cflags $(PKG_$(MOD)))) -MMD -MP -c -o $@ $<

module_obj = $(patsubst host/%.c,$(OBJ)/%.o,$(wildcard host/$(1).c host/$(1)_*.c host/l_$(1).c \
               host/l_$(1)_*.c) $(ALSO_$(1):%=host/%.c))

define module_rules
$(LIB)/$(1).so: $(call module_obj,$(1))
	@mkdir -p $$(@D)
	@echo "LD $$@"
	$$(Q)$$(CC) -shared $(if $(filter asan,$(FLAVOUR)),-fsanitize=address$(,)undefined) -Wl,-z,relro,-z,now -o $$@.new $$^ $$(shell pkg-config --libs $$(PKG_$(1)))
	$$(Q)mv $$@.new $$@
endef
$(foreach m,$(MODULES),$(eval $(call module_rules,$(m))))

# What host/include/pai.h declares, as a library for other programs; no Lua in it.
LIBPAI := $(BUILD)/lib/libpai.so
LIBPAI_SRC := alloc arena buf error mask mask_ext mask_find mask_flat mask_forms mask_forms_text mask_set mask_words secret_mem
build: $(LIBPAI)
$(LIBPAI): $(LIBPAI_SRC:%=$(OBJ)/%.o) host/include/pai.map
	@mkdir -p $(@D)
	@echo "LD $@"
	$(Q)$(CC) -shared $(if $(filter asan,$(FLAVOUR)),-fsanitize=address$(,)undefined) \
	  -Wl,-z,relro,-z,now -Wl,--version-script=host/include/pai.map -o $@.new $(filter %.o,$^)
	$(Q)mv $@.new $@

-include $(wildcard $(OBJ)/*.d)

# ---- what a person types -------------------------------------------------------------------------

JOBS ?= $(shell nproc)
SUB := $(MAKE) --no-print-directory -j$(JOBS)
# Of `make run`: the state folder (empty: the user's own) and more arguments for the recipe.
STATE ?=
ARGS ?=
FUZZ_SECONDS ?= 60

.PHONY: run
run: ## installs what is missing, builds, and runs the VDA demo on a real video
	@vendor/install run build
	@$(SUB) build
	@$(if $(STATE),PAI_STATE='$(abspath $(STATE))') $(BIN) run vda $(ARGS)

.PHONY: test
test: ## installs what is missing, builds, and runs all tests and lint
	@vendor/install run build test \
	  $$(! tests/peers/kubernetes/build --there >/dev/null || echo kubernetes)
	@$(SUB) build units
	@$(SUB) FLAVOUR=asan units
	@tests/run

.PHONY: check
check: build units ## runs the C units and the specs of one FLAVOUR; installs nothing
	@BIN=$(BIN) tests/run --check $(BUILD)/tests

.PHONY: check-asan
check-asan: ## the same, built with the address and undefined behaviour sanitizers
	@ASAN_OPTIONS=detect_leaks=0 $(SUB) FLAVOUR=asan check

.PHONY: check-hard
check-hard: ## the same, with failing allocations, tiny buffers and 1-byte reads
	@$(SUB) FLAVOUR=hard check

.PHONY: check-valgrind
check-valgrind: ## the C units under valgrind
	@vendor/install build fuzz
	@$(SUB) build units
	@UNIT_WRAPPER="valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite" \
	  tests/run --units $(BUILD)/tests

.PHONY: fuzz
fuzz: ## every tests/host/fuzz_*.c for FUZZ_SECONDS (60) each
	@vendor/install build fuzz
	@$(SUB) FLAVOUR=fuzz CC=clang \
	  CFLAGS_EXTRA="-O1 -g -Wno-error -fsanitize=fuzzer-no-link,address,undefined" fuzzers
	@set -e; for f in $(patsubst tests/host/%.c,build/fuzz/tests/%,$(wildcard tests/host/fuzz_*.c)); do \
	  corpus=build/fuzz/corpus/$${f##*/}; mkdir -p $$corpus; echo "FUZZ $$f"; \
	  $$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_funcs=0 \
	    -print_final_stats=1 -artifact_prefix=$$corpus- $$corpus; done

.PHONY: test-kubernetes
test-kubernetes: ## builds a real kube-apiserver (once, a quarter of an hour) and tests against it
	@vendor/install run build test kubernetes
	@$(SUB) build
	@tests/peers/kubernetes/build >/dev/null
	@tests/run $(sort $(wildcard tests/peers/kubernetes/*_spec.lua))

.PHONY: lint
lint: ## the house rules that a machine can check
	@vendor/install test
	@tests/lint

.PHONY: bench
bench: ## measures the budgets beside their peers (figures and ratios, no verdict)
	@vendor/install run build test bench
	@$(SUB) build
	@tests/bench/run

.PHONY: api
api: build ## writes the API reference from lua/pai/meta to build/docs/api.md
	@$(BIN) lua docs/api.lua build/docs/api.md

.PHONY: security-matrix
security-matrix: build ## writes the table of docs/security.md from a run of the masker
	@$(BIN) lua docs/security_matrix.lua docs/security.md

.PHONY: install
install: build ## copies pai to PREFIX (/usr/local), under DESTDIR
	@install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pai $(DESTDIR)$(PREFIX)/share/pai \
	  $(DESTDIR)$(PREFIX)/include
	@install -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/pai
	@install -m 644 $(MODULE_SO) $(DESTDIR)$(PREFIX)/lib/pai/
	@install -m 644 $(LIBPAI) $(DESTDIR)$(PREFIX)/lib/
	@install -m 644 host/include/*.h $(DESTDIR)$(PREFIX)/include/
	@find lua recipes components -type f ! -name '*.pyc' -print0 | \
	  xargs -0 cp --parents --preserve=mode -t $(DESTDIR)$(PREFIX)/share/pai
	@install -m 644 $(BYTECODE) $(DESTDIR)$(PREFIX)/lib/pai/
	@echo "INSTALL $(DESTDIR)$(PREFIX)/bin/pai"

.PHONY: help
help: ## lists the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(firstword $(MAKEFILE_LIST)) | \
	  sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{ printf "  %-16s %s\n", $$1, $$2 }'

.PHONY: clean
clean: ## removes build/
	$(Q)rm -rf build

# ---- C units and fuzzers -------------------------------------------------------------------------

# tests/host/test_NAME.c is a program of its own: the host without main.c, and the module NAME when
# there is one (test_http_retry.c gets http). Files of other names there are helpers of all of them.
PROGRAMS := $(wildcard tests/host/test_*.c tests/host/fuzz_*.c)
HELPERS := $(filter-out $(PROGRAMS),$(wildcard tests/host/*.c))
UNITS := $(patsubst tests/host/%.c,$(BUILD)/tests/%,$(wildcard tests/host/test_*.c))
FUZZERS := $(patsubst tests/host/%.c,$(BUILD)/tests/%,$(wildcard tests/host/fuzz_*.c))
UNIT_OBJ := $(filter-out $(OBJ)/main.o,$(CORE_OBJ))
FUZZ_LINK := -fsanitize=fuzzer,address,undefined
module_of = $(filter $(word 2,$(subst _, ,$(1))),$(MODULES))

.PHONY: units fuzzers
units: $(UNITS)
fuzzers: $(FUZZERS)

define unit_rules
$(BUILD)/tests/$(1): tests/host/$(1).c $(HELPERS) $(UNIT_OBJ) $(if $(2),$(call module_obj,$(2)))
	@mkdir -p $$(@D)
	@echo "CC $$<"
	$$(Q)$$(CC) $$(CFLAGS_ALL) -Itests/host -MMD -MP -MF $$@.d -MT $$@ $$(LDFLAGS_ALL) \
	  $(if $(filter fuzz_%,$(1)),$$(FUZZ_LINK)) -o $$@ $$(filter %.c %.o,$$^) $$(LUA_STATIC) -lm -ldl \
	  $(if $(2),$$(shell pkg-config --libs $$(PKG_$(2)))) $$(SHA_STATIC)
endef
$(foreach p,$(notdir $(basename $(PROGRAMS))),$(eval $(call unit_rules,$(p),$(call module_of,$(p)))))

-include $(wildcard $(BUILD)/tests/*.d)

# The edge's modules: one shared object for nginx. Included by the Makefile, which gives BUILD, CC, CFLAGS, CPPFLAGS,
# LDFLAGS, MODULE (what is built here) and flags.stamp (changes with the flags).

NGX_SRC := /usr/share/nginx/src
NGX_DIR := $(BUILD)/nginx
NGX_CONFIG := $(NGX_DIR)/ngx_auto_config.h
NGX_OBJ := $(BUILD)/pic

NGX_SOURCES := $(wildcard ngx_modules/*/*.c) $(wildcard workers/lib/base/*.c) \
	$(wildcard $(addsuffix *.c,$(addprefix workers/lib/io/,json value idn yaml schema openapi crypto))) workers/lib/io/token.c workers/lib/io/http_client.c
NGX_OBJECTS := $(NGX_SOURCES:%.c=$(NGX_OBJ)/%.o)

# nginx's own headers are not held to our warnings; its callbacks have parameters that nobody needs.
NGX_CPPFLAGS := $(addprefix -isystem $(NGX_SRC)/src/,core event event/modules os/unix http http/modules http/v2) \
	-isystem $(NGX_DIR)
NGX_CFLAGS := -fPIC -fvisibility=hidden
NGX_LDFLAGS := -shared -Wl,--version-script=ngx_modules/module.map
NGX_LDLIBS := -lhiredis -ljansson -lyaml -lpcre2-8 -lidn2 -lcurl -lcrypto -lm

# Debian's flags decide what nginx's structures look like, so its headers are configured with exactly these, once.
$(NGX_CONFIG): $(NGX_SRC)/conf_flags $(NGX_SRC)/src/core/nginx.h
	@mkdir -p $(NGX_DIR)
	@echo "  CONF  nginx headers"
	@dir=$$(cd $(NGX_DIR) && pwd) && cd $(NGX_SRC) && bash -c \
		'. ./conf_flags && ./configure "$${NGX_CONF_FLAGS[@]}" --builddir="$$0"' "$$dir" >"$$dir/configure.log" 2>&1 || \
		{ cat "$$dir/configure.log"; exit 1; }
	@touch $@

$(NGX_OBJ)/ngx_modules/%.o: NGX_CFLAGS += -Wno-unused-parameter
$(NGX_OBJ)/ngx_modules/%.o: NGX_CFLAGS += $(NGX_CPPFLAGS)

$(NGX_OBJ)/%.o: %.c ngx_modules/module.mk $(BUILD)/flags.stamp | $(NGX_CONFIG)
	@mkdir -p $(@D)
	@echo "  CC    $< (module)"
	@$(CC) $(CFLAGS) $(NGX_CFLAGS) $(CPPFLAGS) -MMD -MP -c $< -o $@

$(MODULE): $(NGX_OBJECTS) ngx_modules/module.map
	@echo "  LD    $@"
	@$(CC) $(CFLAGS) $(LDFLAGS) $(NGX_LDFLAGS) -o $@ $(NGX_OBJECTS) $(NGX_LDLIBS)

-include $(NGX_OBJECTS:.o=.d)

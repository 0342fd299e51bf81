-- Token, permission and two limits for nginx's Lua module.
local ffi = require "ffi"
local cjson = require "cjson.safe"
local base64 = require "ngx.base64"

ffi.cdef [[
typedef struct bio_st BIO;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct engine_st ENGINE;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
BIO *BIO_new_mem_buf(const void *buf, int len);
int BIO_free(BIO *b);
EVP_PKEY *PEM_read_bio_PUBKEY(BIO *b, EVP_PKEY **x, void *cb, void *u);
EVP_MD_CTX *EVP_MD_CTX_new(void);
int EVP_MD_CTX_reset(EVP_MD_CTX *ctx);
const EVP_MD *EVP_sha256(void);
int EVP_DigestVerifyInit(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type, ENGINE *e, EVP_PKEY *pkey);
int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen);
]]
local crypto = ffi.load("crypto.so.3")

local RATE, WINDOW = 1000000, 10
local key, context
local verdicts, limits = ngx.shared.verdicts, ngx.shared.limits
local gateway = {}

function gateway.read_key(path)
    local file = assert(io.open(path))
    local pem = file:read("*a")
    file:close()
    local bio = crypto.BIO_new_mem_buf(pem, #pem)
    key = crypto.PEM_read_bio_PUBKEY(bio, nil, nil, nil)
    crypto.BIO_free(bio)
    assert(key ~= nil, "not a public key")
    context = crypto.EVP_MD_CTX_new()
end

-- r or s as an INTEGER of DER.
local function integer(bytes)
    bytes = bytes:gsub("^%z+", "")
    if bytes == "" or bytes:byte() >= 128 then
        bytes = "\0" .. bytes
    end
    return "\2" .. string.char(#bytes) .. bytes
end

local function verify(token)
    local header, payload, signature = token:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
    local head = header and cjson.decode(base64.decode_base64url(header) or "")
    local sig = signature and base64.decode_base64url(signature)
    if not head or head.alg ~= "ES256" or not sig or #sig ~= 64 then
        return nil
    end
    local der = integer(sig:sub(1, 32)) .. integer(sig:sub(33))
    der = "\48" .. string.char(#der) .. der
    local text = header .. "." .. payload
    crypto.EVP_MD_CTX_reset(context)
    if crypto.EVP_DigestVerifyInit(context, nil, crypto.EVP_sha256(), nil, key) ~= 1
        or crypto.EVP_DigestVerify(context, der, #der, text, #text) ~= 1 then
        return nil
    end
    local claims = cjson.decode(base64.decode_base64url(payload) or "")
    if not claims or claims.iss ~= "https://storytelling.local" or claims.aud ~= "storytelling"
        or (claims.exp or 0) <= ngx.time() then
        return nil
    end
    return claims
end

-- User and scope: from memory, or by the signature.
local function who(token)
    local known = verdicts:get(token)
    if not known then
        local claims = verify(token)
        if not claims then
            return nil
        end
        known = claims.sub .. "\n" .. (claims.scope or "")
        verdicts:set(token, known, claims.exp - ngx.time())
    end
    return known:match("^([^\n]*)\n(.*)$")
end

local function count(name)
    local n = limits:incr(name, 1, 0, WINDOW)
    return (n or 1) <= RATE
end

function gateway.check(permission)
    if not count("a:" .. ngx.var.binary_remote_addr) then
        return ngx.exit(429)
    end
    local token = (ngx.var.http_authorization or ""):match("^Bearer (.+)$")
    local user, scope = who(token or "")
    if not user then
        return ngx.exit(401)
    end
    if scope ~= permission then
        return ngx.exit(403)
    end
    if not count("u:" .. user) then
        return ngx.exit(429)
    end
    ngx.req.set_header("X-Api-User", user)
end

return gateway

/* What draft 2020-12 says about schemas, as one schema: the rules of its vocabularies on where and of which type. */
#include "io/schema_impl.h"

#define SCHEMA  "{\"$dynamicRef\":\"#meta\"}"
#define SCHEMAS "{\"type\":\"array\",\"minItems\":1,\"items\":" SCHEMA "}"
#define MAP     "{\"type\":\"object\",\"additionalProperties\":" SCHEMA "}"
#define COUNT   "{\"type\":\"integer\",\"minimum\":0}"
#define NAMES   "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"uniqueItems\":true}"
#define TEXT    "{\"type\":\"string\"}"
#define FLAG    "{\"type\":\"boolean\"}"
#define NUMBER  "{\"type\":\"number\"}"
#define ANCHOR  "{\"type\":\"string\",\"pattern\":\"^[A-Za-z_][-A-Za-z0-9._]*$\"}"
#define KIND    "{\"enum\":[\"array\",\"boolean\",\"integer\",\"null\",\"number\",\"object\",\"string\"]}"

const char st_meta_schema[] =
    "{\"$id\":\"" ST_META_URI "\",\"$dynamicAnchor\":\"meta\",\"type\":[\"object\",\"boolean\"],\"properties\":{"
    /* core */
    "\"$id\":{\"type\":\"string\",\"pattern\":\"^[^#]*#?$\"},\"$schema\":" TEXT ",\"$ref\":" TEXT ",\"$anchor\":" ANCHOR
    ",\"$dynamicRef\":" TEXT ",\"$dynamicAnchor\":" ANCHOR ",\"$comment\":" TEXT
    ",\"$vocabulary\":{\"type\":\"object\",\"additionalProperties\":" FLAG "},\"$defs\":" MAP
    /* applicators */
    ",\"prefixItems\":" SCHEMAS ",\"items\":" SCHEMA ",\"contains\":" SCHEMA ",\"additionalProperties\":" SCHEMA
    ",\"properties\":" MAP ",\"patternProperties\":" MAP ",\"dependentSchemas\":" MAP ",\"propertyNames\":" SCHEMA
    ",\"if\":" SCHEMA ",\"then\":" SCHEMA ",\"else\":" SCHEMA ",\"allOf\":" SCHEMAS ",\"anyOf\":" SCHEMAS
    ",\"oneOf\":" SCHEMAS ",\"not\":" SCHEMA ",\"unevaluatedItems\":" SCHEMA ",\"unevaluatedProperties\":" SCHEMA
    /* assertions */
    ",\"type\":{\"anyOf\":[" KIND ",{\"type\":\"array\",\"items\":" KIND ",\"minItems\":1,\"uniqueItems\":true}]}"
    ",\"enum\":{\"type\":\"array\"},\"multipleOf\":{\"type\":\"number\",\"exclusiveMinimum\":0},\"maximum\":" NUMBER
    ",\"exclusiveMaximum\":" NUMBER ",\"minimum\":" NUMBER ",\"exclusiveMinimum\":" NUMBER ",\"maxLength\":" COUNT
    ",\"minLength\":" COUNT ",\"pattern\":" TEXT ",\"maxItems\":" COUNT ",\"minItems\":" COUNT ",\"uniqueItems\":" FLAG
    ",\"maxContains\":" COUNT ",\"minContains\":" COUNT ",\"maxProperties\":" COUNT ",\"minProperties\":" COUNT
    ",\"required\":" NAMES ",\"dependentRequired\":{\"type\":\"object\",\"additionalProperties\":" NAMES "}"
    /* annotations */
    ",\"title\":" TEXT ",\"description\":" TEXT ",\"deprecated\":" FLAG ",\"readOnly\":" FLAG ",\"writeOnly\":" FLAG
    ",\"examples\":{\"type\":\"array\"},\"format\":" TEXT ",\"contentEncoding\":" TEXT ",\"contentMediaType\":" TEXT
    ",\"contentSchema\":" SCHEMA
    /* of earlier drafts */
    ",\"definitions\":" MAP ",\"dependencies\":{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[" SCHEMA
    "," NAMES "]}},\"$recursiveAnchor\":" ANCHOR ",\"$recursiveRef\":" TEXT "}}";

# How often: exact limits, tiers, bursts, addresses, and what the answers say.
use Test::Nginx::Socket 'no_plan';
use Storytelling::Edge;

Storytelling::Edge::echo('echo');
our $make = qq(POST /v1/things\n{"title":"a"});
our $json = "\nContent-Type: application/json";
run_tests();

__DATA__

=== 10 in an hour are exactly 10
--- request eval
[($::make) x 12]
--- more_headers eval
[(bearer() . $::json) x 12]
--- error_code eval
[(200) x 10, 429, 429]
--- response_headers_like eval
[qq(RateLimit-Policy: "thing\\.create";q=10;w=3600\nRateLimit: "thing\\.create";r=9;t=3(?:60|5\\d)), ('') x 8,
 'RateLimit: "thing\.create";r=0;t=3(?:600|5\d\d)',
 "Retry-After: 3(?:60|[345]\\d)\nContent-Type: application/problem\\+json\nRateLimit: \"thing\\.create\";r=0;t=3(?:600|5\\d\\d)",
 'Retry-After: 3(?:60|[345]\d)']
--- response_body_like eval
[('') x 10, '"status":429,"detail":"The limit thing.create of 10 requests in 3600 seconds is used up.".*"code":"rate_limited"', '']

=== each user has their own
--- request eval
[($::make) x 12]
--- more_headers eval
[(bearer() . $::json) x 10, bearer() . $::json, bearer(sub => 'user-2') . $::json]
--- error_code eval
[(200) x 10, 429, 200]

=== another session or token of the same user does not help
--- request eval
[($::make) x 11]
--- more_headers eval
[map { bearer(sid => "s$_", jti => "j$_") . $::json } 1 .. 11]
--- error_code eval
[(200) x 10, 429]

=== a tier has its own rate
--- request eval
[($::make) x 21]
--- more_headers eval
[(bearer(tier => 'premium') . $::json) x 21]
--- error_code eval
[(200) x 20, 429]

=== an override of the tier wins over the token
--- http_config eval
Storytelling::Edge::http_config(state => Storytelling::Edge::state_file(tiers => {'user-1' => {value => 'premium', until => time + 600}}))
--- request eval
[($::make) x 11]
--- more_headers eval
[(bearer(tier => 'free') . $::json) x 11]
--- error_code eval
[(200) x 11]
--- response_body_like eval
['"x-api-tier":"premium"', ('') x 10]

=== a tier that the limit does not name has the default
--- request eval
[($::make) x 11]
--- more_headers eval
[(bearer(tier => 'gold') . $::json) x 11]
--- error_code eval
[(200) x 10, 429]

=== what the caller may not do is charged, what is no valid token is not
--- request eval
[($::make) x 12]
--- more_headers eval
['Authorization: Bearer x', (bearer(roles => ['reader']) . $::json) x 10, bearer() . $::json]
--- error_code eval
[401, (403) x 10, 429]

=== wrong parameters are not charged
--- request eval
[('POST /v1/things?x=1') x 10, $::make]
--- more_headers eval
[(bearer() . $::json) x 11]
--- error_code eval
[(400) x 10, 200]
--- response_headers_like eval
[('') x 10, 'RateLimit: "thing\.create";r=9;t=3(?:60|5\d)']

=== by address, whoever asks
--- request eval
[('POST /v1/knock') x 6]
--- more_headers eval
['', bearer(), 'X-Forwarded-For: 10.0.0.9', 'X-Real-IP: 10.0.0.8', 'Forwarded: for=10.0.0.7', bearer(sub => 'u2')]
--- error_code eval
[(200) x 5, 429]
--- response_headers_like eval
['RateLimit-Policy: "knock";q=5;w=60', ('') x 4, 'Retry-After: (?:1[012]|[5-9])']

=== an error page or an unknown method is not charged
--- request eval
['GET /v1/knock', ('POST /v1/knock') x 6]
--- error_code eval
[405, (200) x 5, 429]

=== several limits: all must agree, and only then are they charged
--- request eval
[('GET /v1/burst') x 5]
--- more_headers eval
[(bearer()) x 4, bearer(sub => 'user-2')]
--- error_code eval
[200, 200, 200, 429, 200]
--- response_headers_like eval
["RateLimit-Policy: \"burst.user\";q=60;w=3600, \"burst.address\";q=120;w=3600\nRateLimit: \"burst.user\";r=2;t=(?:60|5\\d), \"burst.address\";r=5;t=(?:30|2\\d)", '', '', 'Retry-After: (?:60|[345]\d)', '']

=== an internal redirect does not charge again
--- config eval
Storytelling::Edge::server_config() . 'location = /v1/knock { error_page 404 = /v1/knock2; proxy_pass http://$api_service/gone; }
    location = /v1/knock2 { internal; return 200 "redirected\n"; }'
--- request eval
[('POST /v1/knock') x 6]
--- error_code eval
[(200) x 5, 429]

=== a dry run lets pass and tells the log
--- http_config eval
Storytelling::Edge::http_config() . 'api_limit_dry_run on; add_header X-Limit $api_limit_status;'
--- request eval
[('POST /v1/knock') x 7]
--- error_code eval
[(200) x 7]
--- response_headers eval
[('X-Limit: PASSED') x 5, ('X-Limit: REJECTED_DRY_RUN') x 2]

=== a dry run is told although a later limit lets pass
--- http_config eval
Storytelling::Edge::http_config() . 'api_limit_dry_run on; add_header X-Limit $api_limit_status;'
--- request eval
[('GET /v1/burst') x 7]
--- more_headers eval
[map { bearer(sub => "user-$_") } 1 .. 7]
--- error_code eval
[(200) x 7]
--- response_headers eval
[('X-Limit: PASSED') x 6, 'X-Limit: REJECTED_DRY_RUN']

=== a small zone forgets the oldest, and goes on
--- http_config eval
Storytelling::Edge::http_config() . 'api_zone limits 64k; api_zone tokens 64k;'
--- request eval
[('GET /v1/burst') x 3]
--- more_headers eval
[map { bearer(sub => "u$_") } 1 .. 3]
--- error_code eval
[(200) x 3]

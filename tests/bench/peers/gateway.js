// Token and permission for nginx's JavaScript module; the key is put here by the benchmark.
const KEY = "@SPKI@";

async function claimsOf(token) {
    const parts = token.split('.');
    if (parts.length != 3 || JSON.parse(Buffer.from(parts[0], 'base64url')).alg != 'ES256')
        return null;
    const algorithm = {name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256'};
    const key = await crypto.subtle.importKey('spki', Buffer.from(KEY, 'base64'), algorithm, false, ['verify']);
    const right = await crypto.subtle.verify(algorithm, key, Buffer.from(parts[2], 'base64url'), Buffer.from(`${parts[0]}.${parts[1]}`));
    const claims = right ? JSON.parse(Buffer.from(parts[1], 'base64url')) : null;
    return claims && claims.iss == 'https://storytelling.local' && claims.aud == 'storytelling' && claims.exp > Date.now() / 1000 ? claims : null;
}

async function check(r) {
    const header = r.headersIn.Authorization || '';
    const claims = header.startsWith('Bearer ') ? await claimsOf(header.slice(7)) : null;
    if (!claims) {
        r.return(401);
    } else if (claims.scope != 'thing:read') {
        r.return(403);
    } else {
        r.variables.user = claims.sub;
        r.internalRedirect('/thing' + r.uri);
    }
}

export default {check};

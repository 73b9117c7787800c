// npm oidc-provider with the settings that credd's system tests need.
//
// Knows: one line of settings as JSON on standard input; when that input ends, so does this process,
// so that a killed test leaves nothing behind. Refuses to know: what credd is, or that a proxy of the
// tests stands in front and is the issuer that clients see.
// The one hard thing: to say, for each token request, which refresh token was posted and whether it
// was a used one, without ever writing a token down (sha256 only).
//
// Everything that decides (grants, rotation, reuse, introspection) is oidc-provider's own code.

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
const DAY = 24 * 3600;

const lines = createInterface({ input: process.stdin });
const settings = JSON.parse(await new Promise((resolve) => lines.once('line', resolve)));
lines.once('close', () => process.exit(0));

const now = () => Date.now() / 1000;
const sha256 = (value) => (value ? createHash('sha256').update(value).digest('hex') : null);
const note = (entry) => appendFileSync(settings.events, `${JSON.stringify(entry)}\n`);

function configuration() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const scopes = ['openid', 'offline_access', ...settings.scopes];
  const access = settings.access_token_seconds;
  return {
    clients: [publicClient(), confidentialClient(), ...signingClient()],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    // Seconds by which a token outlives its exp here; 0 is as strict as a provider can be.
    clockTolerance: 0,
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true, mask: '****-****' },
      devInteractions: { enabled: true }, // takes any login and password: there is nobody to protect
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256', kid: 'tests' }] },
    rotateRefreshToken: settings.rotate,
    scopes,
    ttl: {
      AccessToken: access,
      ClientCredentials: access,
      DeviceCode: settings.device_code_seconds,
      Grant: 14 * DAY,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: settings.refresh_token_seconds,
      Session: 14 * DAY,
    },
  };
}

function publicClient() {
  return {
    client_id: settings.client_id,
    token_endpoint_auth_method: 'none',
    application_type: 'native', // so that the port of its loopback address may be any (RFC 8252)
    grant_types: ['authorization_code', DEVICE_CODE, 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/callback'],
  };
}

function confidentialClient() {
  return {
    client_id: settings.confidential_client_id,
    client_secret: settings.confidential_client_secret,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  };
}

function signingClient() {
  if (!settings.signing_client_jwk) return [];
  return [{
    client_id: settings.signing_client_id,
    token_endpoint_auth_method: 'private_key_jwt',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    jwks: { keys: [settings.signing_client_jwk] },
  }];
}

const provider = new Provider(settings.issuer, configuration());
const failures = new WeakMap();
const polls = new Map();

provider.on('grant.error', (ctx, error) => failures.set(ctx, error));
provider.on('grant.revoked', (ctx, grant) => note({ event: 'grant.revoked', at: now(), grant_id: grant }));
provider.on('server_error', (ctx, error) => note({ event: 'server_error', at: now(), path: ctx.path, error: error.message }));

// oidc-provider names no interval and never says slow_down (RFC 8628, 3.2 and 3.5): both are added.
function holdToInterval(ctx) {
  const { device_code: code, grant_type: grant } = ctx.oidc.params ?? {};
  if (grant !== DEVICE_CODE || ctx.body?.error !== 'authorization_pending') return;
  const poll = polls.get(code) ?? { at: -Infinity, interval: settings.device_interval };
  // A tenth of grace: the client's clock starts when our reply arrives, ours when the request does.
  const early = now() - poll.at < poll.interval * 0.9;
  if (early) {
    poll.interval += 5;
    ctx.body = { ...ctx.body, error: 'slow_down' };
  }
  polls.set(code, { at: now(), interval: poll.interval });
}

function noteToken(ctx, arrived_at) {
  const params = ctx.oidc?.params ?? {};
  const failure = failures.get(ctx);
  note({
    event: 'token',
    arrived_at,
    answered_at: now(),
    status: ctx.status,
    grant_type: params.grant_type ?? null,
    scope: params.scope ?? null,
    grant_id: ctx.oidc?.entities?.Grant?.jti ?? null,
    refresh_token_sha256: sha256(params.refresh_token),
    next_refresh_token_sha256: sha256(ctx.body?.refresh_token),
    access_token_sha256: sha256(ctx.body?.access_token),
    error: ctx.body?.error ?? null,
    error_detail: failure?.error_detail ?? null,
    reused: failure?.error_detail === 'refresh token already used',
  });
}

provider.use(async (ctx, next) => {
  const arrived_at = now();
  await next();
  if (ctx.oidc?.route === 'device_authorization' && ctx.status === 200) {
    ctx.body = { ...ctx.body, interval: settings.device_interval };
  }
  if (ctx.oidc?.route === 'token') {
    holdToInterval(ctx);
    noteToken(ctx, arrived_at);
  }
  if (ctx.oidc?.route === 'revocation') {
    note({ event: 'revocation', at: now(), status: ctx.status, token_sha256: sha256(ctx.oidc.params?.token) });
  }
});

const server = createServer(provider.callback());
server.listen(0, '127.0.0.1', () => {
  note({ event: 'listening', at: now(), port: server.address().port });
});

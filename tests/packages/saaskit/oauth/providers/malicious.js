// A malicious OpenID provider: `node malicious.js PORT`. POST /attack {"name": …} selects the attack.
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import http from "node:http";
import { gzipSync } from "node:zlib";
import { OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";

const port = Number(process.argv[2]);
const issuer = new OAuth2Issuer();
issuer.url = `http://127.0.0.1:${port}`;
await issuer.keys.generate("RS256");
const { privateKey: otherKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const otherJwk = { ...publicKey.export({ format: "jwk" }), kid: "other", use: "sig", alg: "RS256" };
const service = new OAuth2Service(issuer);
const pair = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
// One key without an id at a time, like those of a provider that rotates its keys.
const keysWithoutId = { first_key: pair(), second_key: pair() };
let attack = "none";
let nonce = "";
let fetched = 0;

service.on("beforeAuthorizeRedirect", (redirect, request) => {
  nonce = request.query.nonce ?? "";
  if (attack === "iss_response") redirect.url.searchParams.set("iss", "https://evil.example");
  if (attack === "repeated_state") redirect.url.searchParams.append("state", "again");
  if (attack === "other_state") redirect.url.searchParams.set("state", "other");
  if (attack === "denied") {
    redirect.url.searchParams.set("error", "access_denied");
    redirect.url.searchParams.set("error_description", "<script>alert(1)</script>");
  }
});

const now = () => Math.floor(Date.now() / 1000);
const claims = {
  wrong_nonce: (c) => (c.nonce = "other"),
  no_nonce: (c) => delete c.nonce,
  wrong_issuer: (c) => (c.iss = "https://evil.example"),
  wrong_audience: (c) => (c.aud = "another-client"),
  two_audiences: (c) => ((c.aud = ["app", "another-client"]), (c.azp = "app")),
  wrong_azp: (c) => (c.azp = "another-client"),
  expired: (c) => (c.exp = now() - 120),
  no_expiry: (c) => delete c.exp,
  not_valid_yet: (c) => (c.nbf = now() + 600),
  issued_in_future: (c) => (c.iat = now() + 600),
  no_subject: (c) => delete c.sub,
  empty_subject: (c) => (c.sub = ""),
  number_subject: (c) => (c.sub = 42),
  long_subject: (c) => (c.sub = "x".repeat(300)),
  wrong_at_hash: (c) => (c.at_hash = "AAAAAAAAAAAAAAAAAAAAAA"),
  text_email_verified: (c) => (c.email_verified = "false"),
  old_auth_time: (c) => (c.auth_time = now() - 3600),
  future_auth_time: (c) => (c.auth_time = now() + 3600),
  text_auth_time: (c) => (c.auth_time = "now"),
  list_email: (c) => (c.email = ["victim@example.com", "x@example.com"]),
};

service.on("beforeTokenSigning", (token) => {
  Object.assign(token.payload, { aud: "app", nonce, sub: "mallory", email: "mallory@example.com", email_verified: true });
  claims[attack]?.(token.payload);
});

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
service.on("beforeResponse", async (response) => {
  const body = response.body;
  const payload = body.id_token && JSON.parse(Buffer.from(body.id_token.split(".")[1], "base64url"));
  if (attack === "alg_none") body.id_token = `${encode({ alg: "none" })}.${encode(payload)}.`;
  if (attack === "bad_signature") body.id_token = body.id_token.slice(0, -8) + "AAAAAAAA";
  const forge = (header, key = otherKey) => {
    const signed = `${encode(header)}.${body.id_token.split(".")[1]}`;
    return `${signed}.${sign("RSA-SHA256", Buffer.from(signed), key).toString("base64url")}`;
  };
  if (attack in keysWithoutId) body.id_token = forge({ alg: "RS256" }, keysWithoutId[attack].privateKey);
  if (attack === "key_in_header") body.id_token = forge({ alg: "RS256", kid: "other", jwk: otherJwk });
  if (attack === "key_url_in_header") body.id_token = forge({ alg: "RS256", kid: "other", jku: `${issuer.url}/other-keys` });
  if (attack === "hmac_with_client_secret") {
    const signed = `${encode({ alg: "HS256" })}.${body.id_token.split(".")[1]}`;
    body.id_token = `${signed}.${createHmac("sha256", "secret").update(signed).digest("base64url")}`;
  }
  if (attack === "other_key") {
    const signed = body.id_token.split(".").slice(0, 2).join(".");
    body.id_token = `${signed}.${sign("RSA-SHA256", Buffer.from(signed), otherKey).toString("base64url")}`;
  }
  if (attack === "unknown_key") body.id_token = `${encode({ alg: "RS256", kid: Math.random().toString() })}.${body.id_token.split(".").slice(1).join(".")}`;
  if (attack === "no_id_token") delete body.id_token;
  if (attack === "no_access_token") delete body.access_token;
  if (attack === "token_type") body.token_type = "mac";
  if (attack === "token_error") Object.assign(response, { statusCode: 400, body: { error: "invalid_grant" } });
  if (attack === "token_500") Object.assign(response, { statusCode: 500, body: { error: "broken" } });
});

const metadata = {
  metadata_issuer: (m) => (m.issuer = "https://evil.example"),
  metadata_endpoint: (m) => (m.token_endpoint = 42),
  metadata_scheme: (m) => (m.token_endpoint = "file:///etc/passwd"),
  metadata_options: (m) => Object.assign(m, { code_challenge_method: "plain", scope: "evil", verify: false, trust_env: true }),
  metadata_algorithms: (m) => (m.id_token_signing_alg_values_supported = ["none", "HS256"]),
  iss_missing: (m) => (m.authorization_response_iss_parameter_supported = true),
};

http
  .createServer(async (request, response) => {
    const path = request.url.split("?")[0];
    if (path === "/attack") {
      let body = "";
      for await (const chunk of request) body += chunk;
      attack = JSON.parse(body).name;
      fetched = 0;
      return response.end();
    }
    if (path === "/fetched") return response.end(String(fetched));
    if (path === "/jwks") fetched += 1;
    if (path === "/jwks" && attack in keysWithoutId)
      return response.end(JSON.stringify({ keys: [keysWithoutId[attack].publicKey.export({ format: "jwk" })] }));
    if (path === "/other-keys") return response.end(JSON.stringify({ keys: [otherJwk] }));
    if (path === "/.well-known/openid-configuration") {
      if (attack === "html") return response.setHeader("content-type", "text/html").end("<html>");
      if (attack === "list") return response.end("[]");
      if (attack === "redirect") return response.writeHead(302, { location: "http://169.254.169.254/latest" }).end();
      if (attack === "slow") return;
      if (attack === "bomb") {
        const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, " "));
        return response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(bomb);
      }
      if (attack === "error") return response.writeHead(500).end();
      if (attack === "huge") {
        const block = " ".repeat(1024 * 1024);
        for (let i = 0; i < 200 && !response.destroyed; i++) {
          if (!response.write(block)) await new Promise((go) => (response.once("drain", go), response.once("close", go)));
        }
        return response.end("{}");
      }
      const document = {
        issuer: issuer.url,
        authorization_endpoint: `${issuer.url}/authorize`,
        token_endpoint: `${issuer.url}/token`,
        jwks_uri: `${issuer.url}/jwks`,
      };
      metadata[attack]?.(document);
      return response.setHeader("content-type", "application/json").end(JSON.stringify(document));
    }
    return service.requestHandler(request, response);
  })
  .listen(port, "127.0.0.1", () => console.log("ready"));

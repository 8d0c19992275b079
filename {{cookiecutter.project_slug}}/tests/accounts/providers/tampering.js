// A provider that lies: `node tampering.js PORT`. POST /lie {"name": …} chooses how, until the next one.
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import http from "node:http";
import { gzipSync } from "node:zlib";
import { OAuth2Issuer, OAuth2Service } from "oauth2-mock-server";

const port = Number(process.argv[2]);
const issuer = new OAuth2Issuer();
issuer.url = `http://127.0.0.1:${port}`;
await issuer.keys.generate("RS256");
const { privateKey: foreign, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const strange = { ...publicKey.export({ format: "jwk" }), kid: "strange", use: "sig", alg: "RS256" };
const service = new OAuth2Service(issuer);
const pair = () => generateKeyPairSync("rsa", { modulusLength: 2048 });
// One key without a name at a time, as of a provider that rotates.
const nameless = { first_key: pair(), second_key: pair() };
let lie = "none";
let nonce = "";
let fetched = 0;

service.on("beforeAuthorizeRedirect", (redirect, request) => {
  nonce = request.query.nonce ?? "";
  if (lie === "iss_response") redirect.url.searchParams.set("iss", "https://evil.example");
  if (lie === "state_twice") redirect.url.searchParams.append("state", "again");
  if (lie === "other_state") redirect.url.searchParams.set("state", "other");
  if (lie === "denied") {
    redirect.url.searchParams.set("error", "access_denied");
    redirect.url.searchParams.set("error_description", "<script>alert(1)</script>");
  }
});

const now = () => Math.floor(Date.now() / 1000);
const claims = {
  wrong_nonce: (c) => (c.nonce = "other"),
  no_nonce: (c) => delete c.nonce,
  wrong_issuer: (c) => (c.iss = "https://evil.example"),
  wrong_audience: (c) => (c.aud = "somebody-else"),
  more_audiences: (c) => ((c.aud = ["app", "somebody-else"]), (c.azp = "app")),
  wrong_azp: (c) => (c.azp = "somebody-else"),
  expired: (c) => (c.exp = now() - 120),
  no_expiry: (c) => delete c.exp,
  not_yet: (c) => (c.nbf = now() + 600),
  issued_later: (c) => (c.iat = now() + 600),
  no_subject: (c) => delete c.sub,
  empty_subject: (c) => (c.sub = ""),
  number_subject: (c) => (c.sub = 42),
  long_subject: (c) => (c.sub = "x".repeat(300)),
  wrong_at_hash: (c) => (c.at_hash = "AAAAAAAAAAAAAAAAAAAAAA"),
  text_verified: (c) => (c.email_verified = "false"),
  old_sign_in: (c) => (c.auth_time = now() - 3600),
  later_sign_in: (c) => (c.auth_time = now() + 3600),
  text_sign_in: (c) => (c.auth_time = "now"),
  list_email: (c) => (c.email = ["victim@example.com", "x@example.com"]),
};

service.on("beforeTokenSigning", (token) => {
  Object.assign(token.payload, { aud: "app", nonce, sub: "mallory", email: "mallory@example.com", email_verified: true });
  claims[lie]?.(token.payload);
});

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
service.on("beforeResponse", async (answer) => {
  const body = answer.body;
  const payload = body.id_token && JSON.parse(Buffer.from(body.id_token.split(".")[1], "base64url"));
  if (lie === "alg_none") body.id_token = `${encode({ alg: "none" })}.${encode(payload)}.`;
  if (lie === "bad_signature") body.id_token = body.id_token.slice(0, -8) + "AAAAAAAA";
  const forge = (header, key = foreign) => {
    const signed = `${encode(header)}.${body.id_token.split(".")[1]}`;
    return `${signed}.${sign("RSA-SHA256", Buffer.from(signed), key).toString("base64url")}`;
  };
  if (lie in nameless) body.id_token = forge({ alg: "RS256" }, nameless[lie].privateKey);
  if (lie === "key_inside") body.id_token = forge({ alg: "RS256", kid: "strange", jwk: strange });
  if (lie === "key_elsewhere") body.id_token = forge({ alg: "RS256", kid: "strange", jku: `${issuer.url}/strange` });
  if (lie === "shared_secret") {
    const signed = `${encode({ alg: "HS256" })}.${body.id_token.split(".")[1]}`;
    body.id_token = `${signed}.${createHmac("sha256", "secret").update(signed).digest("base64url")}`;
  }
  if (lie === "foreign_key") {
    const signed = body.id_token.split(".").slice(0, 2).join(".");
    body.id_token = `${signed}.${sign("RSA-SHA256", Buffer.from(signed), foreign).toString("base64url")}`;
  }
  if (lie === "unknown_key") body.id_token = `${encode({ alg: "RS256", kid: Math.random().toString() })}.${body.id_token.split(".").slice(1).join(".")}`;
  if (lie === "no_id_token") delete body.id_token;
  if (lie === "no_access_token") delete body.access_token;
  if (lie === "token_type") body.token_type = "mac";
  if (lie === "token_error") Object.assign(answer, { statusCode: 400, body: { error: "invalid_grant" } });
  if (lie === "token_500") Object.assign(answer, { statusCode: 500, body: { error: "broken" } });
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
    if (path === "/lie") {
      let body = "";
      for await (const chunk of request) body += chunk;
      lie = JSON.parse(body).name;
      fetched = 0;
      return response.end();
    }
    if (path === "/fetched") return response.end(String(fetched));
    if (path === "/jwks") fetched += 1;
    if (path === "/jwks" && lie in nameless)
      return response.end(JSON.stringify({ keys: [nameless[lie].publicKey.export({ format: "jwk" })] }));
    if (path === "/strange") return response.end(JSON.stringify({ keys: [strange] }));
    if (path === "/.well-known/openid-configuration") {
      if (lie === "html") return response.setHeader("content-type", "text/html").end("<html>");
      if (lie === "list") return response.end("[]");
      if (lie === "redirect") return response.writeHead(302, { location: "http://169.254.169.254/latest" }).end();
      if (lie === "slow") return;
      if (lie === "bomb") {
        const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, " "));
        return response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(bomb);
      }
      if (lie === "error") return response.writeHead(500).end();
      if (lie === "huge") {
        const block = " ".repeat(1024 * 1024);
        for (let i = 0; i < 200 && !response.destroyed; i++) {
          if (!response.write(block)) await new Promise((go) => (response.once("drain", go), response.once("close", go)));
        }
        return response.end("{}");
      }
      const said = {
        issuer: issuer.url,
        authorization_endpoint: `${issuer.url}/authorize`,
        token_endpoint: `${issuer.url}/token`,
        jwks_uri: `${issuer.url}/jwks`,
      };
      metadata[lie]?.(said);
      return response.setHeader("content-type", "application/json").end(JSON.stringify(said));
    }
    return service.requestHandler(request, response);
  })
  .listen(port, "127.0.0.1", () => console.log("ready"));

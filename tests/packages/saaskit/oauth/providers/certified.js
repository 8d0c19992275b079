// A certified OpenID provider: `node certified.js PORT CALLBACK [userinfo]`. It accepts any login name, whose e-mail
// address is verified unless it begins with "un". GET /rotate replaces the signing keys. With `userinfo`, the ID token
// has no e-mail address.
import { generateKeyPairSync } from "node:crypto";
import http from "node:http";
import Provider from "oidc-provider";

const [port, callback] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
let number = 0;

function provider() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: "jwk" }), kid: `key-${++number}`, use: "sig", alg: "RS256" };
  const made = new Provider(issuer, {
    clients: [{ client_id: "app", client_secret: "secret", redirect_uris: [callback] }],
    jwks: { keys: [key] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    conformIdTokenClaims: process.argv[4] === "userinfo",
    pkce: { required: () => true },
    cookies: { keys: ["test"] },
    features: { devInteractions: { enabled: true } },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: !id.startsWith("un"), name: `Name of ${id}` }),
    }),
  });
  return made.callback();
}

let serve = provider();
http
  .createServer((request, response) => {
    if (request.url === "/rotate") {
      serve = provider();
      return response.end("rotated");
    }
    return serve(request, response);
  })
  .listen(Number(port), "127.0.0.1", () => console.log("ready"));

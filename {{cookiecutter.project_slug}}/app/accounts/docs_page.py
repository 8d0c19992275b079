"""A sign-in form for the API documentation at `/docs`, which exists in development only."""

SIGN_IN_FORM = """
<form id="sign-in" style="font: 14px sans-serif; padding: 12px 20px; text-align: right">
<span id="status"></span>
<input name="email" type="email" placeholder="e-mail" autocomplete="username" required>
<input name="password" type="password" placeholder="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
"""
SIGN_IN_SCRIPT = """
const form = document.getElementById("sign-in"), signedIn = document.getElementById("status");
async function showUser() {
  const response = await fetch("/api/session");
  const email = response.ok && (await response.json()).user.email;
  signedIn.textContent = email ? `Signed in as ${email}. ` : "Not signed in. ";
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  const headers = {"Content-Type": "application/json"};
  const response = await fetch("/api/session", {method: "POST", headers, body});
  if (!response.ok) alert((await response.json()).detail);
  form.password.value = "";
  await showUser();
});
showUser();
"""

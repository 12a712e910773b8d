// The flow of `driver.rs` with Node's `fetch` and a jar of `tough-cookie`.
//
// `node client.mjs COUNTER LOGIN API TOUCHE`, four addresses without a trailing slash.

import assert from "node:assert/strict";
import { CookieJar } from "tough-cookie";

const [counter, login, api, touche] = process.argv.slice(2);

// `fetch` keeps no cookies. A redirect may set some, so redirects are followed here.
class Client {
  jar = new CookieJar();

  async send(method, url, { form, body, headers = {} } = {}) {
    const kept = await this.jar.getCookieString(url);
    const answer = await fetch(url, {
      method,
      body: form ? new URLSearchParams(form) : body,
      headers: kept ? { Cookie: kept, ...headers } : headers,
      redirect: "manual",
      signal: AbortSignal.timeout(10_000),
    });
    for (const line of answer.headers.getSetCookie()) await this.jar.setCookie(line, url);
    if (answer.status === 303) return this.send("GET", new URL(answer.headers.get("Location"), url).href);
    return { status: answer.status, headers: answer.headers, text: await answer.text() };
  }

  get = (url, more) => this.send("GET", url, more);
  post = (url, more) => this.send("POST", url, more);
  cookie = async (url) => (await this.jar.getCookies(url)).find((cookie) => cookie.key === "id");
}

function holds(what, answer, text, status = 200) {
  const found = answer.status === status && answer.text.includes(text);
  assert(found, `${what}: ${answer.status}, and no "${text}" in\n${answer.text}`);
}

const csrf = (answer) => answer.text.match(/name="csrf" value="([^"]*)"/)[1];

let client = new Client();
holds("the first visit", await client.get(`${counter}/`), "<output>1</output>");
holds("a return", await client.get(`${counter}/`), "<output>2</output>");
holds("a form", await client.post(`${counter}/theme`, { form: { theme: "night" } }), 'class="night"');
holds("a stranger", await new Client().get(`${counter}/`), "<output>1</output>");

client = new Client();
for (const remember of [{}, { remember: "on" }]) {
  const token = csrf(await client.get(`${login}/`));
  const before = await client.cookie(login);
  const right = { csrf: token, user: "ada", password: "difference-engine", ...remember };
  holds("a forged form", await client.post(`${login}/login`, { form: { ...right, csrf: "x" } }), "too old", 403);
  const wrong = await client.post(`${login}/login`, { form: { ...right, password: "x" } });
  holds("a wrong password", wrong, "No user of that name");
  holds("a login", await client.post(`${login}/login`, { form: right }), "Hello, ada");
  const member = await client.get(`${login}/`);
  holds("the page behind it", member, "Hello, ada");
  holds("how long", member, remember.remember ? "14 days" : "15 minutes");
  const inside = await client.cookie(login);
  assert.notEqual(inside.value, before.value, "the login left the id as it was");
  assert.equal(inside.isPersistent(), Boolean(remember.remember), "how long the jar keeps the cookie");
  const left = await client.post(`${login}/logout`, { form: { csrf: csrf(member) } });
  assert(left.status === 200 && !left.text.includes("Hello, ada"), left.text);
  assert.notEqual((await client.cookie(login))?.value, inside.value, "the jar keeps a session that ended");
  for (const old of [before, inside]) {
    const answer = await new Client().get(`${login}/`, { headers: { Cookie: `id=${old.value}` } });
    assert(answer.status === 200 && !answer.text.includes("Hello, ada"), answer.text);
  }
}

client = new Client();
const bearers = [];
for (const device of ["laptop", "phone"]) {
  const body = JSON.stringify({ user: "ada", password: "difference-engine", device });
  const answer = await client.post(`${api}/login`, { body, headers: { "Content-Type": "application/json" } });
  holds("a login", answer, '"welcome":"ada"');
  bearers.push({ headers: { Authorization: `Bearer ${answer.headers.get("X-Session-Token")}` } });
}
const [laptop, phone] = bearers;
assert.equal(await client.cookie(api), undefined, "a cookie, where there are tokens");
holds("a call", await client.get(`${api}/me`, phone), '"calls":1');
holds("another", await client.get(`${api}/me`, phone), '"calls":2');
const lost = JSON.parse((await client.get(`${api}/me`, laptop)).text).device;
const devices = JSON.parse((await client.get(`${api}/devices`, phone)).text);
assert.deepEqual(devices.map((device) => device.name).sort(), ["laptop", "phone"]);
holds("the end of another device", await client.send("DELETE", `${api}/devices/${lost}`, phone), '"ended"');
holds("a token that was ended", await client.get(`${api}/me`, laptop), "log in first", 401);
holds("a logout", await client.post(`${api}/logout`, phone), '"bye":"ada"');
holds("the token afterwards", await client.get(`${api}/me`, phone), "log in first", 401);
holds("no token", await client.get(`${api}/me`), "log in first", 401);

client = new Client();
holds("the first visit", await client.get(`${touche}/`), "Visit number 1.");
holds("a note", await client.post(`${touche}/note`, { body: "buy tea" }), "Noted.");
holds("a return", await client.get(`${touche}/`), "Visit number 2. buy tea");
holds("a streamed page", await client.get(`${touche}/stream`), "3. buy tea");

"""The flow of `driver.rs` with `requests` or `httpx` and its own jar.

`python3 client.py requests|httpx COUNTER LOGIN API TOUCHE`, four addresses without a trailing slash.
"""

import importlib
import re
import sys

name, counter, login, api, touche = sys.argv[1:]
library = importlib.import_module(name)


def new_client():
    if name == "httpx":
        return library.Client(follow_redirects=True, timeout=10, trust_env=False)
    client = library.Session()
    client.trust_env = False
    return client


def holds(what, answer, text, status=200):
    problem = f"{what}: {answer.status_code}, and no {text!r} in\n{answer.text}"
    assert answer.status_code == status and text in answer.text, problem


def csrf(answer):
    return re.search(r'name="csrf" value="([^"]*)"', answer.text).group(1)


# A new jar for each example, because a jar does not tell ports apart.
client = new_client()
holds("the first visit", client.get(f"{counter}/"), "<output>1</output>")
holds("a return", client.get(f"{counter}/"), "<output>2</output>")
holds("a form", client.post(f"{counter}/theme", data={"theme": "night"}), 'class="night"')
holds("a stranger", new_client().get(f"{counter}/"), "<output>1</output>")

client = new_client()
for remember in ({}, {"remember": "on"}):
    page = client.get(f"{login}/")
    before = client.cookies["id"]
    right = {"user": "ada", "password": "difference-engine", **remember}
    holds("a forged form", client.post(f"{login}/login", data={"csrf": "x", **right}), "too old", 403)
    holds("a wrong password", client.post(f"{login}/login", data={**right, "csrf": csrf(page), "password": "x"}),
          "No user of that name")
    holds("a login", client.post(f"{login}/login", data={"csrf": csrf(page), **right}), "Hello, ada")
    member = client.get(f"{login}/")
    holds("the page behind it", member, "Hello, ada")
    holds("how long", member, "14 days" if remember else "15 minutes")
    inside = client.cookies["id"]
    assert inside != before, "the login left the id as it was"
    jar = client.cookies if name == "requests" else client.cookies.jar
    assert [cookie.discard for cookie in jar] == [not remember], "how long the jar keeps the cookie"
    left = client.post(f"{login}/logout", data={"csrf": csrf(member)})
    assert left.status_code == 200 and "Hello, ada" not in left.text, left.text
    assert client.cookies.get("id") != inside, "the jar keeps the cookie of a session that ended"
    for old in (before, inside):
        answer = new_client().get(f"{login}/", headers={"Cookie": f"id={old}"})
        assert answer.status_code == 200 and "Hello, ada" not in answer.text, answer.text

client = new_client()
account = {"user": "ada", "password": "difference-engine"}
tokens = []
for device in ("laptop", "phone"):
    answer = client.post(f"{api}/login", json={**account, "device": device})
    holds("a login", answer, '"welcome":"ada"')
    tokens.append(answer.headers["X-Session-Token"])
laptop, phone = ({"Authorization": f"Bearer {token}"} for token in tokens)
assert not client.cookies.keys(), "a cookie, where there are tokens"
holds("a call", client.get(f"{api}/me", headers=phone), '"calls":1')
holds("another", client.get(f"{api}/me", headers=phone), '"calls":2')
lost = client.get(f"{api}/me", headers=laptop).json()["device"]
assert {device["name"] for device in client.get(f"{api}/devices", headers=phone).json()} == {"laptop", "phone"}
holds("the end of another device", client.delete(f"{api}/devices/{lost}", headers=phone), '"ended"')
holds("a token that was ended", client.get(f"{api}/me", headers=laptop), "log in first", 401)
holds("a logout", client.post(f"{api}/logout", headers=phone), '"bye":"ada"')
holds("the token afterwards", client.get(f"{api}/me", headers=phone), "log in first", 401)
holds("no token", client.get(f"{api}/me"), "log in first", 401)

client = new_client()
holds("the first visit", client.get(f"{touche}/"), "Visit number 1.")
note = {"data" if name == "requests" else "content": "buy tea"}
holds("a note", client.post(f"{touche}/note", **note), "Noted.")
holds("a return", client.get(f"{touche}/"), "Visit number 2. buy tea")
holds("a streamed page", client.get(f"{touche}/stream"), "3. buy tea")

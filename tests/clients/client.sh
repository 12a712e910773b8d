#!/usr/bin/env bash
# The flow of `driver.rs` with `curl` and its own jar.
#
# `client.sh COUNTER LOGIN API TOUCHE`, four addresses without a trailing slash.
set -euo pipefail
counter=$1 login=$2 api=$3 touche=$4

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
jar="$folder/jar"
send() { curl -sS --noproxy '*' --max-time 10 "$@"; }
visit() { send -L -w '\n%{http_code}\n' -c "$jar" -b "$jar" "$@"; }
# holds WHAT ANSWER TEXT [STATUS]
holds() {
    grep -qF -- "$3" <<< "$2" && [ "$(tail -n 1 <<< "$2")" = "${4:-200}" ] && return
    printf '%s: no "%s" in\n%s\n' "$1" "$3" "$2"
    exit 1
}
misses() { if grep -qF -- "$3" <<< "$2"; then printf '%s: there is "%s"\n' "$1" "$3"; exit 1; fi; }
csrf() { grep -o 'name="csrf" value="[^"]*"' <<< "$1" | head -n 1 | cut -d '"' -f 4; }
cookie() { awk '$6 == "id" { print $7 }' "$jar"; }

holds "the first visit" "$(visit "$counter/")" "<output>1</output>"
holds "a return" "$(visit "$counter/")" "<output>2</output>"
holds "a form" "$(visit "$counter/theme" -d theme=night)" 'class="night"'
holds "a stranger" "$(send "$counter/" -w '\n%{http_code}')" "<output>1</output>"

rm "$jar"
for remember in "" on; do
    right=(-d user=ada -d password=difference-engine ${remember:+-d remember=on})
    page=$(visit "$login/") before=$(cookie)
    holds "a forged form" "$(visit "$login/login" -d csrf=x "${right[@]}")" "too old" 403
    wrong=$(visit "$login/login" -d "csrf=$(csrf "$page")" -d user=ada -d password=x)
    holds "a wrong password" "$wrong" "No user of that name"
    holds "a login" "$(visit "$login/login" -d "csrf=$(csrf "$page")" "${right[@]}")" "Hello, ada"
    member=$(visit "$login/") inside=$(cookie)
    holds "the page behind it" "$member" "Hello, ada"
    [ "$before" != "$inside" ] || { echo "the login left the id as it was"; exit 1; }
    expires=$(awk '$6 == "id" { print $5 }' "$jar")
    [ "$((expires > 0))" = "${remember:+1}" ] || [ "$((expires > 0))$remember" = 0 ] \
        || { echo "the jar keeps the cookie until $expires"; exit 1; }
    misses "a logout" "$(visit "$login/logout" -d "csrf=$(csrf "$member")")" "Hello, ada"
    [ "$(cookie)" != "$inside" ] || { echo "the jar keeps a session that ended"; exit 1; }
    for old in "$before" "$inside"; do
        misses "an old cookie" "$(send "$login/" -H "Cookie: id=$old")" "Hello, ada"
    done
done

rm "$jar"
log_in() {
    visit -i "$api/login" -H "Content-Type: application/json" \
        -d '{"user": "ada", "password": "difference-engine", "device": "'"$1"'"}' \
        | tr -d '\r' | sed -n 's/^X-Session-Token: //p'
}
laptop=$(log_in laptop) phone=$(log_in phone)
[ -z "$(cookie)" ] || { echo "a cookie, where there are tokens"; exit 1; }
# call TOKEN PATH ..
call() { visit "$api$2" --oauth2-bearer "$1" "${@:3}"; }
holds "a call" "$(call "$phone" /me)" '"calls":1'
holds "another" "$(call "$phone" /me)" '"calls":2'
lost=$(call "$laptop" /me | grep -o '"device":"[^"]*"' | cut -d '"' -f 4)
holds "both devices" "$(call "$phone" /devices)" '"name":"laptop"'
holds "the end of another device" "$(call "$phone" "/devices/$lost" -X DELETE)" '"ended"'
holds "a token that was ended" "$(call "$laptop" /me)" "log in first" 401
holds "a logout" "$(call "$phone" /logout -X POST)" '"bye":"ada"'
holds "the token afterwards" "$(call "$phone" /me)" "log in first" 401
holds "no token" "$(visit "$api/me")" "log in first" 401

rm -f "$jar"
holds "the first visit" "$(visit "$touche/")" "Visit number 1."
holds "a note" "$(visit "$touche/note" -d "buy tea")" "Noted."
holds "a return" "$(visit "$touche/")" "Visit number 2. buy tea"
holds "a streamed page" "$(visit "$touche/stream")" "3. buy tea"

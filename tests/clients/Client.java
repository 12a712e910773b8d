// The flow of `driver.rs` with both clients of the JDK, `HttpClient` and `HttpURLConnection`, each
// with a `CookieManager` as its jar, which sends `$Version="1"; id="...";$Path="/"` (RFC 2965).
//
// `java Client.java COUNTER LOGIN API TOUCHE`, four addresses without a trailing slash.

import java.net.CookieHandler;
import java.net.CookieManager;
import java.net.HttpCookie;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Client {
    record Answer(int status, String token, String text) {}

    static abstract class Agent {
        final CookieManager jar = new CookieManager();

        abstract Answer send(String method, String url, String body, Map<String, String> headers) throws Exception;

        Answer get(String url) throws Exception {
            return send("GET", url, null, Map.of());
        }

        Answer post(String url, String form) throws Exception {
            return send("POST", url, form, Map.of("Content-Type", "application/x-www-form-urlencoded"));
        }

        Answer call(String token, String method, String url) throws Exception {
            return send(method, url, null, Map.of("Authorization", "Bearer " + token));
        }

        Optional<HttpCookie> cookie() {
            var cookies = jar.getCookieStore().getCookies().stream();
            return cookies.filter(cookie -> cookie.getName().equals("id")).findFirst();
        }

        String id() {
            return cookie().map(HttpCookie::getValue).orElse("");
        }
    }

    static class NewAgent extends Agent {
        // Not the default, which offers an upgrade to HTTP/2 with each request. tiny_http, and
        // rouille on top of it, read the body of such a request until the connection ends, so the
        // handler would wait for the rest of a form.
        final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).cookieHandler(jar)
            .proxy(HttpClient.Builder.NO_PROXY).followRedirects(HttpClient.Redirect.NORMAL).build();

        Answer send(String method, String url, String body, Map<String, String> headers) throws Exception {
            var publisher = body == null
                ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body);
            var request = HttpRequest.newBuilder(URI.create(url)).method(method, publisher);
            request.timeout(Duration.ofSeconds(10));
            headers.forEach(request::header);
            var answer = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
            var token = answer.headers().firstValue("X-Session-Token").orElse("");
            return new Answer(answer.statusCode(), token, answer.body());
        }
    }

    static class OldAgent extends Agent {
        Answer send(String method, String url, String body, Map<String, String> headers) throws Exception {
            // One for the whole process: the agent that is used last has it.
            CookieHandler.setDefault(jar);
            var connection = (HttpURLConnection) URI.create(url).toURL().openConnection(Proxy.NO_PROXY);
            connection.setReadTimeout(10_000);
            connection.setRequestMethod(method);
            headers.forEach(connection::setRequestProperty);
            if (body != null) {
                connection.setDoOutput(true);
                connection.getOutputStream().write(body.getBytes());
            }
            int status = connection.getResponseCode();
            try (var stream = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
                var token = connection.getHeaderField("X-Session-Token");
                return new Answer(status, token == null ? "" : token, new String(stream.readAllBytes()));
            }
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static void holds(String what, Answer answer, String text, int status) {
        check(answer.status == status && answer.text.contains(text),
            what + ": " + answer.status + ", and no \"" + text + "\" in\n" + answer.text);
    }

    static void holds(String what, Answer answer, String text) {
        holds(what, answer, text, 200);
    }

    static String csrf(Answer answer) {
        return first(answer, "name=\"csrf\" value=\"([^\"]*)\"");
    }

    static String first(Answer answer, String pattern) {
        Matcher matcher = Pattern.compile(pattern).matcher(answer.text);
        check(matcher.find(), "no " + pattern + " in\n" + answer.text);
        return matcher.group(1);
    }

    static void flow(Supplier<Agent> agents, String counter, String login, String api, String touche) throws Exception {
        var client = agents.get();
        holds("the first visit", client.get(counter + "/"), "<output>1</output>");
        holds("a return", client.get(counter + "/"), "<output>2</output>");
        holds("a form", client.post(counter + "/theme", "theme=night"), "class=\"night\"");
        holds("a stranger", agents.get().get(counter + "/"), "<output>1</output>");

        client = agents.get();
        for (var remember : new String[] {"", "&remember=on"}) {
            var token = "csrf=" + csrf(client.get(login + "/"));
            var before = client.id();
            var right = "&user=ada&password=difference-engine" + remember;
            holds("a forged form", client.post(login + "/login", "csrf=x" + right), "too old", 403);
            var wrong = token + "&user=ada&password=x";
            holds("a wrong password", client.post(login + "/login", wrong), "No user of that name");
            holds("a login", client.post(login + "/login", token + right), "Hello, ada");
            var member = client.get(login + "/");
            holds("the page behind it", member, "Hello, ada");
            holds("how long", member, remember.isEmpty() ? "15 minutes" : "14 days");
            var inside = client.cookie().orElseThrow();
            check(!inside.getValue().equals(before), "the login left the id as it was");
            check(inside.getMaxAge() > 0 == !remember.isEmpty(), "the jar keeps the cookie for " + inside.getMaxAge());
            // Because `Expires` is beside it, Max-Age does not make it a cookie of RFC 2965. If
            // another cookie of the host is one, the jar sends ours in that form, too.
            check(inside.getVersion() == 0, "the jar takes it for a cookie of RFC 2965");
            inside.setVersion(1);
            holds("the cookie in the form of RFC 2965", client.get(login + "/"), "Hello, ada");
            var left = client.post(login + "/logout", "csrf=" + csrf(member));
            check(left.status == 200 && !left.text.contains("Hello, ada"), left.text);
            check(!client.id().equals(inside.getValue()), "the jar keeps the cookie of a session that ended");
            for (var old : new String[] {before, inside.getValue()}) {
                var answer = agents.get().send("GET", login + "/", null, Map.of("Cookie", "id=" + old));
                check(answer.status == 200 && !answer.text.contains("Hello, ada"), answer.text);
            }
        }

        client = agents.get();
        var tokens = new String[2];
        for (int i = 0; i < 2; i++) {
            var body = "{\"user\": \"ada\", \"password\": \"difference-engine\", \"device\": \"device " + i + "\"}";
            var answer = client.send("POST", api + "/login", body, Map.of("Content-Type", "application/json"));
            holds("a login", answer, "\"welcome\":\"ada\"");
            tokens[i] = answer.token;
        }
        check(client.cookie().isEmpty(), "a cookie, where there are tokens");
        holds("a call", client.call(tokens[1], "GET", api + "/me"), "\"calls\":1");
        holds("another", client.call(tokens[1], "GET", api + "/me"), "\"calls\":2");
        var lost = first(client.call(tokens[0], "GET", api + "/me"), "\"device\":\"([^\"]*)\"");
        holds("both devices", client.call(tokens[1], "GET", api + "/devices"), "\"name\":\"device 0\"");
        holds("the end of another device", client.call(tokens[1], "DELETE", api + "/devices/" + lost), "\"ended\"");
        holds("a token that was ended", client.call(tokens[0], "GET", api + "/me"), "log in first", 401);
        holds("a logout", client.call(tokens[1], "POST", api + "/logout"), "\"bye\":\"ada\"");
        holds("the token afterwards", client.call(tokens[1], "GET", api + "/me"), "log in first", 401);
        holds("no token", client.get(api + "/me"), "log in first", 401);

        client = agents.get();
        holds("the first visit", client.get(touche + "/"), "Visit number 1.");
        holds("a note", client.send("POST", touche + "/note", "buy tea", Map.of()), "Noted.");
        holds("a return", client.get(touche + "/"), "Visit number 2. buy tea");
        holds("a streamed page", client.get(touche + "/stream"), "3. buy tea");
    }

    public static void main(String[] at) throws Exception {
        flow(NewAgent::new, at[0], at[1], at[2], at[3]);
        flow(OldAgent::new, at[0], at[1], at[2], at[3]);
    }
}

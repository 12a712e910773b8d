// The page on express: `node server.js with|without`. The memory store is the one of the
// documentation's first example and the fastest; it warns that it is not meant for production.

import express from "express";
import session from "express-session";

const application = express();
if (process.argv[2] === "with") {
  application.use(session({ secret: "for a benchmark", resave: false, saveUninitialized: false }));
  application.get("/", (request, response) => {
    const visits = (request.session.visits ?? 0) + 1;
    request.session.visits = visits;
    response.type("text/plain").send(`Visit number ${visits}\n`);
  });
} else {
  application.get("/", (request, response) => response.type("text/plain").send("Visit number 1\n"));
}
const server = application.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));

// An HTTPS server that asks for a client's certificate and says what it saw. Files: ca.crt,
// server.crt, server.key in the folder of the first argument. Prints its port.
const fs = require("fs");
const https = require("https");
const dir = process.argv[2];
const read = (name) => fs.readFileSync(`${dir}/${name}`);
const server = https.createServer(
  {
    cert: read("server.crt"),
    key: read("server.key"),
    ca: read("ca.crt"),
    requestCert: true,
    rejectUnauthorized: false,
  },
  (req, res) => {
    const peer = req.socket.getPeerCertificate();
    res.setHeader("content-type", "application/json");
    res.end(
      JSON.stringify({
        gitVersion: "v1.0.0",
        authorized: req.socket.authorized,
        user: peer.subject ? peer.subject.CN : null,
        sni: req.socket.servername,
        host: req.headers.host,
        token: req.headers.authorization || null,
      })
    );
  }
);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

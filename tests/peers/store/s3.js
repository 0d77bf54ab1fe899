// An S3 server that checks signatures, for the specs of pai.store. Reads one JSON line: the folder,
// the buckets, and the keys that it is to know. Prints its port.
"use strict";

const path = require("path");
const modules = path.resolve(__dirname, "../../../vendor/npm/node_modules");
const S3rver = require(path.join(modules, "@20minutes/s3rver"));
const { DUMMY_ACCOUNT } = require(path.join(modules, "@20minutes/s3rver/lib/models/account"));

const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
DUMMY_ACCOUNT.createKeyPair(input.id, input.key);

new S3rver({
  address: "127.0.0.1",
  port: 0,
  directory: input.dir,
  silent: true,
  allowMismatchedSignatures: false,
  configureBuckets: input.buckets.map((name) => ({ name })),
})
  .run()
  .then((address) => console.log(address.port));

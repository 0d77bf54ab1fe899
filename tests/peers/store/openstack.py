"""OpenStack Swift in one process, with its S3 API, for the specs of pai.store: proxy, account,
container and object server as Debian's python3-swift has them, one replica on one folder. It checks
SigV4 signatures (s3api and tempauth). Reads one JSON line: the folder, the buckets, the key id (an
account and a user: "test:tester"), the key, the region, and a domain for buckets in the host's
name. Prints its port. Ends with its standard input.
"""

import eventlet

eventlet.monkey_patch()

import base64
import json
import logging
import os
import sys
from array import array

from eventlet import wsgi
from swift.common import utils

# The cluster's secret, which Swift wants in /etc, and no log.
utils.HASH_PATH_SUFFIX = os.urandom(16)
utils.validate_hash_conf = lambda: None

from swift.account.server import AccountController
from swift.common import storage_policy
from swift.common.ring import RingData
from swift.common.storage_policy import StoragePolicy, StoragePolicyCollection
from swift.common.swob import Request
from swift.common.utils import NullLogger, get_logger, mkdirs
from swift.common.wsgi import SwiftHttpProtocol, loadapp
from swift.container.server import ContainerController
from swift.obj.server import ObjectController

PROXY = """
[DEFAULT]
swift_dir = {dir}
log_statsd_host =

[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats bulk s3api tempauth slo dlo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
node_timeout = 60
conn_timeout = 10
recoverable_node_timeout = 60

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
location = {region}
storage_domain = {domain}
s3_acl = false
# A folder's name is as good as a bucket's.
dns_compliant_bucket_names = false
min_segment_size = 1048576
# The clocks are the same here; the specs turn theirs.
allowable_clock_skew = 900
[filter:tempauth]
use = egg:swift#tempauth
user64_{user} = {key} .admin
"""


def coded(text):
    return base64.b64encode(text.encode()).decode().rstrip("=")


class Cache:
    """What Swift keeps in memcached."""

    def __init__(self):
        self.kept = {}

    def get(self, key, *_, **__):
        return self.kept.get(key)

    def set(self, key, value, *_, **__):
        self.kept[key] = value

    def delete(self, key, *_, **__):
        self.kept.pop(key, None)

    def incr(self, key, delta=1, *_, **__):
        self.kept[key] = self.kept.get(key, 0) + delta
        return self.kept[key]


def with_cache(app):
    cache = Cache()

    def call(env, start):
        env["swift.cache"] = cache
        return app(env, start)

    return call


def main():
    doc = json.loads(sys.stdin.readline())
    logging.disable(logging.CRITICAL)
    top = doc["dir"]
    devices = os.path.join(top, "devices")
    mkdirs(os.path.join(devices, "sda", "tmp"))

    policies = StoragePolicyCollection([StoragePolicy(0, "one", True)])
    storage_policy._POLICIES = policies

    socks = {}
    for name in ("account", "container", "object", "proxy"):
        socks[name] = eventlet.listen(("127.0.0.1", 0), backlog=256)
    for name in ("account", "container", "object"):
        dev = {
            "id": 0, "zone": 0, "region": 1, "device": "sda", "weight": 1,
            "ip": "127.0.0.1", "port": socks[name].getsockname()[1],
            "replication_ip": "127.0.0.1", "replication_port": socks[name].getsockname()[1],
        }
        RingData([array("H", [0, 0])], [dev], 31).save(os.path.join(top, name + ".ring.gz"))
    conf = {
        "devices": devices,
        "swift_dir": top,
        "mount_check": "false",
        "disable_fallocate": "true",
        "fallocate_reserve": "0",
        "max_upload_time": "3600",
    }
    log = get_logger({}, "swift")
    apps = {
        "account": AccountController(conf, logger=log),
        "container": ContainerController(conf, logger=log),
        "object": ObjectController(conf, logger=log),
    }
    path = os.path.join(top, "proxy.conf")
    account, user = doc["id"].split(":")
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as out:
        out.write(PROXY.format(
            dir=top, region=doc.get("region") or "us-east-1", domain=doc.get("domain", ""),
            user=coded(account) + "_" + coded(user), key=doc["key"],
        ))
    apps["proxy"] = with_cache(loadapp(path, global_conf={"log_name": "proxy"}))
    for name, app in apps.items():
        eventlet.spawn(
            wsgi.server, socks[name], app, NullLogger(), protocol=SwiftHttpProtocol,
            capitalize_response_headers=False, custom_pool=eventlet.GreenPool(256),
        )
    for name in doc["buckets"]:
        make = Request.blank("/v1/AUTH_%s/%s" % (account, name), {"REQUEST_METHOD": "PUT"})
        make.environ["swift.authorize"] = lambda req: None
        make.environ["swift.authorize_override"] = True
        done = make.get_response(apps["proxy"])
        if done.status_int // 100 != 2:
            sys.exit("container %s: %s %s" % (name, done.status, done.body))
    print(socks["proxy"].getsockname()[1], flush=True)
    eventlet.hubs.trampoline(0, read=True)


main()

-- Watches, waits and logs against scripted connections that break in every known way.
local api = assert(loadfile(pai.root .. "/tests/spec/k8s/api.lua", "t", _ENV))()
local json = require("pai.json")
local shapes = assert(loadfile(pai.root .. "/tests/spec/k8s/shapes.lua", "t", _ENV))()
local task = require("pai.task")

local PODS <const> = "GET /api/v1/namespaces/default/pods"
local QUICK <const> = { 1, 20 }

local function pod(name, version, more)
  local p = shapes.pod(name, version, more)
  p.kind, p.apiVersion = "Pod", "v1"
  return p
end

local function event(kind, name, version, more)
  return { type = kind, object = pod(name, version, more) }
end

local function bookmark(version)
  return { type = "BOOKMARK", object = { kind = "Pod", metadata = { resourceVersion = version } } }
end

-- Lists and watches by turns: scripts of each, by number.
local function route(lists, watches)
  local listed, watched = 0, 0
  return function(req)
    if req.query.watch then
      watched = watched + 1
      return watches[watched]
    end
    listed = listed + 1
    return lists[listed]
  end
end

-- Watches until the pod "end" appears; gives the events and the versions that were asked for.
local function follow(s, c, opts)
  local told = {}
  opts = opts or {}
  opts.backoff = QUICK
  function opts.on_event(kind, object)
    told[#told + 1] = ("%s %s"):format(kind, object.metadata.name)
    return object.metadata.name ~= "end"
  end
  assert(c:watch("pods", opts))
  local versions = {}
  for _, req in ipairs(s.seen) do
    if req.query.watch then
      versions[#versions + 1] = req.query.resourceVersion[1]
    end
  end
  return told, versions
end

describe("a watch", function()
  api.it("tells what is there, and then what changes", {
    [PODS] = route({ shapes.pods({ pod("a", "3") }, "7") }, {
      api.stream({
        event("MODIFIED", "a", "8"),
        event("DELETED", "a", "9"),
        event("ADDED", "end", "10"),
      }),
    }),
  }, function(s, c)
    local told, versions = follow(s, c, { labels = "app=x" })
    assert.same({ "ADDED a", "MODIFIED a", "DELETED a", "ADDED end" }, told)
    assert.same({ "7" }, versions)
    local query = s.seen[2].query
    assert.same({ "true", "app=x" }, { query.allowWatchBookmarks[1], query.labelSelector[1] })
    assert.is_true(tonumber(query.timeoutSeconds[1]) >= 240)
  end)

  api.it("goes on from the last version after its end, also from a bookmark's", {
    [PODS] = route({ shapes.pods({}, "7") }, {
      api.stream({ event("ADDED", "a", "8") }),
      api.stream({ bookmark("20") }),
      api.stream({}),
      { status = 503, body = "starting" },
      api.stream({ event("ADDED", "end", "21") }),
    }),
  }, function(s, c)
    local told, versions = follow(s, c)
    assert.same({ "ADDED a", "ADDED end" }, told)
    assert.same({ "7", "8", "20", "20", "20" }, versions)
  end)

  api.it("reads the list anew after 410, and tells the difference", {
    [PODS] = route({
      shapes.pods(
        { pod("stays", "1"), pod("goes", "2"), pod("changes", "3"), pod("again", "4") },
        "7"
      ),
      shapes.pods({
        pod("stays", "1"),
        pod("changes", "30"),
        (function()
          local p = pod("again", "31")
          p.metadata.uid = "another"
          return p
        end)(),
        pod("comes", "32"),
      }, "40"),
      shapes.pods({ pod("end", "50") }, "50"),
    }, {
      api.stream({ shapes.gone_event }),
      shapes.expired,
    }),
  }, function(s, c)
    local told = follow(s, c)
    local second = { table.unpack(told, 5, 9) }
    table.sort(second)
    assert.same(
      { "ADDED again", "ADDED comes", "DELETED again", "DELETED goes", "MODIFIED changes" },
      second
    )
  end)

  local from_backup = shapes.status(504, "Timeout", "Too large resource version: 40, current: 12", {
    causes = { { reason = "ResourceVersionTooLarge", message = "Too large resource version" } },
    retryAfterSeconds = 0,
  })
  local older = shapes.pods({ pod("stays", "3"), pod("back", "9") }, "12")

  api.it("goes back with a server that was restored from a backup", {
    [PODS] = route({ shapes.pods({ pod("stays", "3"), pod("lost", "38") }, "40"), older, older }, {
      { status = 504, json = from_backup },
      api.stream({ { type = "ERROR", object = from_backup } }),
      api.stream({ event("ADDED", "end", "13") }),
    }),
  }, function(s, c)
    local told, versions = follow(s, c)
    local second = { table.unpack(told, 3, 4) }
    table.sort(second)
    assert.same({ "ADDED back", "DELETED lost" }, second)
    assert.equal(5, #told)
    assert.same({ "40", "12", "12" }, versions)
  end)

  api.it("that ends at once, again and again, is trouble and no busy loop", {
    [PODS] = route({ shapes.pods({}, "7") }, {
      api.stream({}),
      api.stream({}),
      api.stream({}),
    }),
  }, function(s, c)
    local troubles = {}
    local ended, e = c:watch("pods", {
      backoff = QUICK,
      give_up = 3,
      on_event = function() end,
      on_trouble = function(trouble)
        troubles[#troubles + 1] = trouble.code
      end,
    })
    assert.is_nil(ended)
    assert.equal("ENETWORK", e.code)
    assert.same({ "ENETWORK", "ENETWORK" }, troubles)
    assert.equal(4, #s.seen)
  end)

  api.it("drops half a line and takes the event again", {
    [PODS] = route({ shapes.pods({}, "7") }, {
      api.stream({ event("ADDED", "a", "8"), '{"type":"ADDED","object":{"metadata":{"na' }),
      api.stream({ event("ADDED", "end", "9") }),
    }),
  }, function(s, c)
    local told, versions = follow(s, c)
    assert.same({ "ADDED a", "ADDED end" }, told)
    assert.same({ "7", "8" }, versions)
  end)

  api.it("survives a line that is no event, and a pause of 429", {
    [PODS] = route({ shapes.pods({}, "7") }, {
      api.stream({ "nonsense\n" }),
      {
        status = 429,
        headers = { ["Retry-After"] = "0" },
        json = shapes.status(429, "TooManyRequests", "x"),
      },
      api.stream({ event("ADDED", "end", "9") }),
    }),
  }, function(s, c)
    local troubles = {}
    follow(s, c, {
      on_trouble = function(e)
        troubles[#troubles + 1] = e.reason or e.code
      end,
    })
    assert.same({ "EPROTO", "TooManyRequests" }, troubles)
  end)

  api.it("gives up a connection that is silent", {
    [PODS] = route({ shapes.pods({}, "7") }, {
      api.stream({ event("ADDED", "a", "8") }, function(w)
        while not w:gone() do
          task.sleep("20ms")
        end
      end),
      api.stream({ event("ADDED", "end", "9") }),
    }),
  }, function(s, c)
    local told, versions = follow(s, c, { silence = "3s" })
    assert.same({ "ADDED a", "ADDED end" }, told)
    assert.same({ "7", "8" }, versions)
  end)

  api.it("that is forbidden is an error", { [PODS] = shapes.forbidden }, function(s, c)
    local ok, e = c:watch("pods", { on_event = function() end, backoff = QUICK })
    assert.same({ nil, "Forbidden", 1 }, { ok, e.reason, #s.seen })
  end)

  api.it("whose listener raises ends with that", {
    [PODS] = shapes.pods({ pod("a", "1") }, "7"),
  }, function(_, c)
    local ok, problem = pcall(c.watch, c, "pods", {
      on_event = function()
        error("mine", 0)
      end,
    })
    assert.same({ false, "mine" }, { ok, problem })
  end)
end)

describe("a wait", function()
  local job_path = "GET /apis/batch/v1/namespaces/default/jobs"
  local function job(version, conditions, more)
    return {
      apiVersion = "batch/v1",
      kind = "Job",
      metadata = { name = "j", namespace = "default", uid = "j", resourceVersion = version },
      status = { conditions = conditions, active = more },
    }
  end
  local function jobs(item)
    return { kind = "JobList", metadata = { resourceVersion = "7" }, items = json.array({ item }) }
  end
  local complete = { { type = "Complete", status = "True" } }
  local failed = {
    { type = "Failed", status = "True", reason = "BackoffLimitExceeded", message = "too often" },
  }

  api.it("ends when the condition holds", {
    [job_path] = route({ jobs(job("1", nil, 1)) }, {
      api.stream({ { type = "MODIFIED", object = job("8", complete) } }),
    }),
  }, function(s, c)
    local seen = {}
    local done = assert(c:wait("job", "j", {
      ["for"] = "condition=Complete",
      on_change = function(text)
        seen[#seen + 1] = text
      end,
    }))
    assert.equal("8", done.metadata.resourceVersion)
    assert.equal("metadata.name=j", s.seen[1].query.fieldSelector[1])
    assert.same({ "active 1, succeeded 0, failed 0", "active 0, succeeded 0, failed 0" }, seen)
  end)

  api.it("ends when it has failed instead", { [job_path] = jobs(job("1", failed)) }, function(_, c)
    local done, e = c:wait("job", "j", { ["for"] = "complete" })
    assert.same({ nil, "EFAILED", "Failed", "BackoffLimitExceeded" }, {
      done,
      e.code,
      e.condition,
      e.reason,
    })
    assert(c:wait("job", "j", { ["for"] = "condition=Failed" }))
  end)

  api.it("that takes too long says what was seen last", {
    [job_path] = function(req)
      if req.query.watch then
        return api.stream({}, function(w)
          while not w:gone() do
            task.sleep("20ms")
          end
        end)
      end
      return jobs(job("1", nil, 1))
    end,
  }, function(_, c)
    local _, e = c:wait("job", "j", { ["for"] = "ready", timeout = "3s" })
    assert.equal("ETIMEDOUT", e.code)
    assert.truthy(e.message:find("last seen: active 1", 1, true))
  end)

  api.it("for what is not there says so, or waits for it", {
    [job_path] = function(req, n)
      if req.query.watch then
        return api.stream({ { type = "ADDED", object = job("8", complete) } })
      end
      return n < 9 and jobs(nil)
    end,
  }, function(_, c)
    local _, e = c:wait("job", "j", { ["for"] = "complete" })
    assert.equal("NotFound", e.reason)
    assert(c:wait("job", "j", { ["for"] = "complete", appear = true }))
    assert(c:wait("job", "j", { ["for"] = "delete" }))
  end)

  api.it("for an object that goes, or comes back as another, ends", {
    [job_path] = route({ jobs(job("1")), jobs(job("1")), jobs(job("1")) }, {
      api.stream({ { type = "DELETED", object = job("8") } }),
      api.stream({ { type = "DELETED", object = job("8") } }),
    }),
  }, function(_, c)
    local _, e = c:wait("job", "j", { ["for"] = "complete" })
    assert.same({ "EFAILED", true }, { e.code, e.message:find("was deleted", 1, true) ~= nil })
    assert(c:wait("job", "j", { ["for"] = "delete" }))
    assert(c:wait("job", "j", { ["for"] = "delete", uid = "an older one" }))
  end)

  it("knows what it can wait for", function()
    local conditions = require("pai.k8s.conditions")
    local function met(text, object)
      return assert(conditions.wish(text)).met(object)
    end
    local function deployment(st)
      st.observedGeneration = st.observedGeneration or 2
      return {
        kind = "Deployment",
        metadata = { name = "d", generation = 2 },
        spec = { replicas = 2 },
        status = st,
      }
    end
    local good = { replicas = 2, updatedReplicas = 2, availableReplicas = 2 }
    assert.is_true(met("ready", deployment(good)))
    good.observedGeneration = 1
    assert.is_false(met("ready", deployment(good)))
    assert.is_false(
      met("ready", deployment({ replicas = 3, updatedReplicas = 2, availableReplicas = 2 }))
    )
    assert.is_true(met("status.phase=Bound", { metadata = {}, status = { phase = "Bound" } }))
    assert.is_true(
      met("status.list[1].x=2", { metadata = {}, status = { list = { {}, { x = 2 } } } })
    )
    local node = {
      kind = "Node",
      metadata = {},
      status = { conditions = { { type = "Ready", status = "False" } } },
    }
    assert.is_false(met("ready", node))
    assert.is_true(met("condition=ready=false", node))
    local stuck = deployment({
      conditions = {
        { type = "Progressing", status = "False", reason = "ProgressDeadlineExceeded" },
      },
    })
    local e = assert(conditions.wish("ready")).failed(stuck)
    assert.equal("ProgressDeadlineExceeded", e.reason)
    local ended = { kind = "Pod", metadata = { name = "p" }, status = { phase = "Succeeded" } }
    assert.equal("EFAILED", assert(conditions.wish("condition=Ready")).failed(ended).code)
    assert.is_nil(assert(conditions.wish("condition=Ready=False")).failed(ended))
    local wish, why = conditions.wish("nonsense")
    assert.same({ nil, "EUSAGE" }, { wish, why.code })
  end)
end)

describe("logs", function()
  local path = "GET /api/v1/namespaces/default/pods/p"
  local function at(n, text)
    return ("2026-01-01T00:00:%02d.5Z %s\n"):format(n, text)
  end
  local function gather(c, opts)
    local lines = {}
    opts.backoff = QUICK
    function opts.on_line(line)
      lines[#lines + 1] = line
    end
    local ok, e = c:logs("p", opts)
    return lines, ok, e
  end

  api.it("come line by line", {
    [path .. "/log"] = api.stream({ at(1, "one") .. at(2, "tw"):sub(1, -2), "o\nthree, no end" }),
  }, function(s, c)
    local lines, ok = gather(c, { container = "main", tail = 5, previous = true })
    assert.same({ "one", "two", "three, no end" }, lines)
    assert.is_true(ok)
    local query = s.seen[1].query
    assert.same({ "main", "5", "true", "true" }, {
      query.container[1],
      query.tailLines[1],
      query.previous[1],
      query.timestamps[1],
    })
  end)

  api.it("that are followed go on where they were, and no line comes twice", {
    [path .. "/log"] = function(_, n)
      return ({
        api.stream({ at(1, "a"), at(2, "same"), at(2, "same"), at(2, "x") }),
        { status = 500, body = "gone for a moment" },
        api.stream({
          at(1, "a"),
          at(2, "same"),
          at(2, "same"),
          at(2, "x"),
          at(2, "same"),
          at(3, "b"),
        }),
      })[n]
    end,
    [path] = function(_, n)
      local state = n > 2 and { terminated = { exitCode = 0 } } or { running = {} }
      return pod("p", "1", { containerStatuses = { { name = "main", state = state } } })
    end,
  }, function(s, c)
    local lines, ok = gather(c, { follow = true })
    assert.same({ "a", "same", "same", "x", "same", "b" }, lines)
    assert.is_true(ok)
    local last = s.seen[5].query
    assert.same({ "2026-01-01T00:00:02Z", nil }, { last.sinceTime[1], last.tailLines })
  end)

  api.it("of a pod that went are whole; of one that may not be read they are an error", {
    [path .. "/log"] = function(_, n)
      return n == 1 and api.stream({ at(1, "a") }) or shapes.forbidden
    end,
    [path] = shapes.not_found,
  }, function(_, c)
    local lines, ok = gather(c, { follow = true })
    assert.same({ { "a" }, true }, { lines, ok })
    local _, none, e = gather(c, { follow = true })
    assert.same({ nil, "Forbidden" }, { none, e.reason })
  end)
end)

-- What somebody answers who is no OSMO, or not itself: web pages, gateways, logins, other JSON.
-- Each command ends with 1 and a line that says so, never with an error of Lua's.
local fs = require("pai.fs")
local pai = require("pai")
local serve = require("pai.serve")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

local READS <const> = {
  "version",
  "list",
  "query x-1",
  "pools",
  "pool list",
  "resource list",
  "resource info n",
  "task list",
  "profile list",
  "credential list",
  "token list",
  "token roles x",
  "user list",
  "user list --submitted",
  "user get x",
  "config list",
  "config show pool:1",
  "app list",
  "tag",
}

local CHANGES <const> = {
  "cancel x-1",
  "restart x-1 -p p",
  "exec x-1 t --entry ls",
  "exec x-1 --group g --entry ls",
  "port-forward x-1 t --port 8080",
  "user create x",
}

-- Texts, which may be anything but a page.
local TEXTS <const> = { "logs x-1", "events x-1", "spec x-1", "app spec x" }

local PAGE <const> = "<!DOCTYPE html>\n<html><head><title>OSMO</title></head></html>"

describe("an answer that is none of OSMO's", function()
  local w, srv, answer

  before_each(function()
    w = wire.start()
    srv = assert(serve.listen({
      handler = function()
        return answer
      end,
    }))
    w.url = "http://127.0.0.1:" .. srv:port()
    fs.write(
      w.dir .. "/osmo/login.yaml",
      ("dev_login: {username: alice}\nurl: %s\n"):format(w.url),
      { mode = 384 }
    )
    fs.write(
      w.dir .. "/flow.yaml",
      "workflow:\n  name: flow\n  tasks:\n  - {name: t, image: a, command: [x]}\n"
    )
  end)
  after_each(function()
    srv:close()
    w:finish()
  end)

  -- Each command is refused in a line that holds `why`, and perhaps one with a hint.
  local function all_refused(commands, why, hint)
    for _, words in ipairs(commands) do
      local code, out, said = w:run(words)
      local what = ("%s: %d %s%s"):format(words, code, out, said)
      assert(code == 1, what)
      assert(said:find("^pai: [^\n]+\n"), what)
      assert(said:find(why, 1, true), what)
      assert(not hint or said:find(hint, 1, true), what)
      assert(not said:find("traceback") and not said:find("userdata"), what)
      local _, lines = said:gsub("\n", "")
      assert(lines <= 2, what)
    end
  end

  it("is told as a web page, also of a submit, which has reached nobody", function()
    for _, kind in ipairs({ "text/html", "text/html; charset=utf-8" }) do
      answer = { headers = { ["content-type"] = kind }, body = PAGE }
      local hint = ("is %s the address of an OSMO service?"):format(w.url)
      all_refused({ "submit flow.yaml --pool p" }, "a web page came", hint)
      if kind == "text/html" then
        all_refused(READS, "a web page came", hint)
        all_refused(CHANGES, "a web page came", hint)
      end
      all_refused(TEXTS, "a web page came", hint)
      assert.equal("", (select(2, w:run("logs x-1"))))
    end
  end)

  it("is told as what a gateway says, with what may help", function()
    local page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>"
    answer = { status = 502, headers = { ["content-type"] = "text/html" }, body = page }
    all_refused({ "query x-1", "cancel x-1" }, "502 Bad Gateway", "in the service's place")
    answer = { status = 401, body = "Jwt is expired" }
    all_refused({ "list", "cancel x-1" }, "Jwt is expired", "pai osmo login " .. w.url)
    answer = { status = 404, body = "404 page not found" }
    all_refused({ "list", "cancel x-1" }, "404 page not found", w.url .. " the address of an OSMO")
    answer = { status = 302, headers = { location = "https://login.test/in?state=1" } }
    all_refused({ "list", "logs x-1" }, "sends to https://login.test/in", "own address")
  end)

  it("is told as JSON that fits no question, with the member that does not", function()
    local why = "that is no answer of OSMO"
    for _, body in ipairs({ "null", '"text"', "7", "[[]]", '{"name":5,"pools":7,"groups":{}}' }) do
      answer = { headers = { ["content-type"] = "application/json" }, body = body }
      for _, list in ipairs({ READS, CHANGES }) do
        for _, words in ipairs(list) do
          -- What this one picks out of the answer is not there.
          local odd = (words == "list" and body:sub(1, 1) ~= "{") and "has nothing of what" or why
          if not (words == "task list" and body:sub(1, 1) == "{") then
            all_refused({ words }, odd)
          end
        end
      end
    end
    answer.body = '{"name":"x-1","status":"RUNNING","groups":[{"name":"g","tasks":[{"name":"t"}]}]}'
    all_refused({ "query x-1" }, "groups[1].tasks[1].")
    all_refused({ "app submit x" }, "names no version of the app x")
    answer.body = ""
    all_refused({ "query x-1", "cancel x-1" }, "the answer is empty")
    answer.body = '{"name":'
    all_refused({ "query x-1", "cancel x-1" }, "the answer is no JSON")
  end)

  it("from no address at all is told with what may be wrong with it", function()
    local login = w.dir .. "/osmo/login.yaml"
    local function at(url, why, hint)
      fs.write(login, ("dev_login: {username: alice}\nurl: %s\n"):format(url), { mode = 384 })
      all_refused({ "version" }, why, hint)
    end
    answer = { body = "x" }
    -- The server's words or, where its end comes first, none.
    at(w.url:gsub("http", "https"), "GET https://", "is it http:// that is meant?")
    srv:close()
    at(w.url, "Failed to connect", "is the service up?")
  end)
end)

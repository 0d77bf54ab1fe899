-- Every command of OSMO's own command line at version 6.4.0, with every option and letter that it
-- has (src/cli/*.py): pai takes it, or refuses it by name and says what to do instead.
local args = require("pai.cli.args")
local osmo = require("pai.cli.osmo")
local pai = require("pai")
local exec = require("pai.exec")

-- Options in front of which there is a "!" are refused; an option is followed by its values.
local UPSTREAM <const> = {
  [""] = "!--log-level INFO",
  login = "--method dev; --username a; --token-file f; !--token; !--password; !--password-file; "
    .. "!--device-endpoint; !--browser-endpoint; !--callback-port",
  logout = "",
  version = "--format-type json; -t json",
  ["workflow submit"] = "-t json; --format-type text; --set a=1 b=2; --set-string a=1 b=2; "
    .. "--set-env A=1 B=2; --dry-run; --pool p; -p p; !--rsync; --priority high; --label a=b",
  ["workflow restart"] = "-t json; --format-type text; --pool p; -p p",
  ["workflow validate"] = "--set a=1 b=2; --set-string a=1 b=2; --pool p; -p p; --label a=b",
  ["workflow logs"] = "--task t; -t t; --retry-id 1; -r 1; --error; -n 5",
  ["workflow events"] = "--task t; -t t; --retry-id 1; -r 1",
  ["workflow cancel"] = "--message m; -m m; --force; -f; --format-type json; -t json",
  ["workflow query"] = "--verbose; -v; --format-type json; -t json",
  ["workflow list"] = "--count 5; -c 5; --offset 5; -f 5; --name n; -n n; --order asc; -o desc; "
    .. "--status RUNNING FAILED; -s RUNNING FAILED; --format-type json; -t text; "
    .. "--submitted-after 2026-01-01; --submitted-before 2026-01-01; --tags a b; "
    .. "--priority HIGH LOW; --label a=b; --no-label a; --user a b; -u a b; --all-users; -a; "
    .. "--pool p q; -p p q; --app a:1; -P a",
  ["workflow tag"] = "--workflow a b; -w a b; --add x y; -a x y; --remove x y; -r x y",
  ["workflow exec"] = "--group g; --entry c; --connect-timeout 60; --keep-alive",
  ["workflow spec"] = "--template",
  ["workflow port-forward"] = "--host localhost; --port 80:80,90; !--udp; --connect-timeout 60",
  ["task list"] = "--status RUNNING FAILED; -s RUNNING; --workflow-id w; -w w; --user a b; -u a b; "
    .. "--all-users; -a; --pool p q; -p p q; --node a b; -n a b; --started-after 2026-01-01; "
    .. "--started-before 2026-01-01; --count 5; -c 5; --offset 5; -f 5; --order asc; -o desc; "
    .. "--verbose; -v; --summary; -S; --aggregate-by-workflow; -W; --priority HIGH LOW; "
    .. "--format-type json; -t text",
  ["pool list"] = "--pool p q; -p p q; --format-type json; -t text; --mode free; -m used",
  ["resource list"] = "--pool p q; -p p q; --platform x y; --all; -a; --format-type json; -t text; "
    .. "--mode free; -m used",
  ["resource info"] = "--pool p; -p p; --platform x; -pl x",
  ["credential set"] = "--type DATA; --payload a=b c=d; --payload-file a=b c=d; --format-type json",
  ["credential list"] = "--format-type json",
  ["credential delete"] = "--format-type json",
  ["data upload"] = "--regex x; -x x; --processes 2; -p 2; --threads 2; -T 2; "
    .. "!--benchmark-out; !-b",
  ["data download"] = "--regex x; -x x; --resume; -r; --processes 2; -p 2; --threads 2; -T 2; "
    .. "!--benchmark-out; !-b",
  ["data list"] = "--regex x; -x x; --prefix p; -p p; --recursive; -r; --no-pager",
  ["data delete"] = "--regex x; -x x",
  ["data check"] = "--access-type READ; -a WRITE; --config-file f; -c f",
  ["profile set"] = "",
  ["profile list"] = "--format-type json; -t text",
  ["token set"] = "--expires-at 2027-01-01; -e 2027-01-01; --description d; -d d; --user u; -u u; "
    .. "--roles a b; -r a b; --format-type json; -t text",
  ["token delete"] = "--user u; -u u",
  ["token list"] = "--user u; -u u; --format-type json; -t text",
  ["token roles"] = "--format-type json; -t text",
  ["user list"] = "--id-prefix a; -p a; --roles a b; -r a b; --count 5; -c 5; "
    .. "--format-type json; -t text",
  ["user create"] = "--roles a b; -r a b; --format-type json; -t text",
  ["user update"] = "--add-roles a b; -a a b; --remove-roles a b; -r a b; "
    .. "--format-type json; -t text",
  ["user delete"] = "--force; -f",
  ["user get"] = "--format-type json; -t text",
  ["config list"] = "--format-type json; -t text; --fit-width",
  ["config show"] = "--verbose; -v",
  ["config update"] = "--file f; -f f; --description d; -d d; --tags a b; -t a b",
  ["config delete"] = "--description d; -d d; --tags a b; -t a b",
  ["config history"] = "--offset 5; -o 5; --count 5; -c 5; --order asc; --name n; -n n; "
    .. "--revision 5; -r 5; --tags a b; --at-timestamp 2026-01-01; --created-before 2026-01-01; "
    .. "--created-after 2026-01-01T00:00:00; --format-type json; -t text; --fit-width",
  ["config rollback"] = "--description d; --tags a b",
  ["config set"] = "--field f; --description d; --tags a b",
  ["config tag"] = "--set a b; -s a b; --delete a b; -d a b",
  ["config diff"] = "",
  ["app create"] = "--description d; -d d; --file f; -f f",
  ["app update"] = "--file f; -f f",
  ["app info"] = "--count 5; -c 5; --order asc; -o desc; --format-type json; -t text",
  ["app show"] = "",
  ["app spec"] = "",
  ["app list"] = "--name n; -n n; --user a b; -u a b; --all-users; -a; --count 5; -c 5; "
    .. "--order asc; -o desc; --format-type json; -t text",
  ["app delete"] = "--all; -a; --force; -f",
  ["app rename"] = "--force; -f",
  ["app submit"] = "--format-type json; -t text; --set a=1 b=2; --set-string a=1 b=2; "
    .. "--set-env A=1 B=2; --dry-run; --pool p; -p p; --local-path d; -l d; !--rsync; "
    .. "--priority low; --label a=b",
}

local function find(path)
  local command = osmo
  for word in path:gmatch("%S+") do
    local found
    for _, sub in ipairs(command.commands) do
      found = found or (sub.name == word and sub)
    end
    command = assert(found, path)
  end
  return command
end

local function words(line)
  local list = {}
  for word in line:gmatch("%S+") do
    list[#list + 1] = word
  end
  return list
end

describe("OSMO's own command line", function()
  for _, path in ipairs(require("pai.text").keys(UPSTREAM)) do
    it(("has in pai: osmo %s"):format(path), function()
      local command = find(path)
      for option in UPSTREAM[path]:gmatch("[^;]+") do
        option = option:match("^%s*(.-)$")
        if option:sub(1, 1) == "!" then
          local ok, e = pcall(args.parse, command, words(option:sub(2) .. " value-of-it"))
          assert.is_false(ok, option)
          assert.equal("EUSAGE", e.code)
          assert.matches(" has no " .. option:match("^!(%S+)"), e.message, 1, true)
          assert.is_truthy(e.hint and #e.hint > 10, option)
          assert.is_nil(e.message:find("value-of-it", 1, true))
        elseif option ~= "" then
          local positional = args.parse(command, words(option))
          assert.same({}, positional, path .. " " .. option)
        end
      end
    end)
  end

  local function refused(line, why)
    local none, e = exec.run({ pai.exe, "osmo", table.unpack(words(line)) }, {
      env = { OSMO_CONFIG_FILE_DIR = "/nowhere", OSMO_URL = false },
    })
    assert.is_nil(none)
    assert.equal(2, e.exit, line)
    assert.matches(why, e.stderr, 1, true)
    assert.matches("hint: ", e.stderr, 1, true)
  end

  it("has rsync, which pai has not, and options before the command", function()
    for _, line in ipairs({ "rsync upload a t x:y", "workflow rsync status" }) do
      refused(line, "has no 'rsync'")
    end
    refused("--log-level DEBUG workflow list", "has no --log-level")
    refused("login http://127.0.0.1:1 --method pkce", "does not log in by pkce")
  end)

  it("logs in where one was logged in last when no URL is named", function()
    local none, e = exec.run({ pai.exe, "osmo", "login", "--method", "dev", "--username", "a" }, {
      env = { OSMO_CONFIG_FILE_DIR = "/nowhere", OSMO_URL = false },
    })
    assert.is_nil(none)
    assert.matches("missing URL", e.stderr, 1, true)
    local fs = require("pai.fs")
    local dir = assert(fs.tempdir({ prefix = "pai-options-" }))
    require("pai.task").run(function()
      local service = assert(require("pai.serve").listen({
        handler = function()
          return { json = { major = "6", minor = "4", revision = "0" } }
        end,
      }))
      local url = ("http://127.0.0.1:%d"):format(service:port())
      local env = { OSMO_CONFIG_FILE_DIR = dir, OSMO_URL = false }
      local login =
        { pai.exe, "osmo", "login", "--method", "dev", "--username", "alice", url .. "/" }
      assert(exec.run(login, { env = env }))
      login[7], login[8] = "bob", nil
      local r = assert(exec.run(login, { env = env }))
      assert.matches(("logged in to %s "):format(url), r.stdout, 1, true)
      service:close()
    end)
    fs.remove(dir, { recursive = true })
  end)
end)

describe("arguments", function()
  local COMMAND <const> = {
    name = "x",
    options = {
      { name = "set", arg = "K=V", several = true, doc = "" },
      { name = "tag", short = "t", arg = "TAG", several = true, doc = "" },
      { name = "count", short = "n", arg = "N", doc = "" },
      { name = "flag", short = "f", doc = "" },
      { name = "how", arg = "a|b", doc = "", sets = { a = { one = 1 }, b = {} } },
    },
  }

  local function parse(line)
    return args.parse(COMMAND, words(line))
  end

  it("of several values end at the next option, and those of K=V at what is none", function()
    local positional, opts = parse("--set a=1 b=2 file --tag x y -f --tag z")
    assert.same({ "file" }, positional)
    assert.same({ set = { "a=1", "b=2" }, tag = { "x", "y", "z" }, flag = true }, opts)
    positional, opts = parse("--tag x -- y")
    assert.same({ "y" }, positional)
    assert.same({ "x" }, opts.tag)
    -- with a "=" behind the option only that value is meant
    positional, opts = parse("--set=a=1 b=2")
    assert.same({ "b=2" }, positional)
    assert.same({ "a=1" }, opts.set)
  end)

  it("may stand right behind a letter, when they are numbers", function()
    local _, opts = parse("-n20 -f")
    assert.same({ count = "20", flag = true }, opts)
    assert.has_error(function()
      parse("-f20")
    end)
    assert.has_error(function()
      parse("-nx")
    end)
  end)

  it("stand for other options where they are one of a few", function()
    local _, opts = parse("--how a")
    assert.same({ one = 1 }, opts)
    local ok, e = pcall(parse, "--how c")
    assert.is_false(ok)
    assert.equal("--how is a or b, not 'c'", e.message)
  end)
end)

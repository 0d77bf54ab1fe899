-- The tables of the engine's store, and how those of an older pai become these.
local err = require("pai.err")

local M = {}

-- Version of the tables. A store of another version is refused by name, never guessed at.
local VERSION <const> = 3

-- Lists skip what they leave out, and what lies before their page, in the index alone.
local LISTED <const> = [[
CREATE INDEX IF NOT EXISTS workflows_listed
  ON workflows (submit_time, seq, user, pool, status, id);
]]

local APPS <const> = [[
CREATE TABLE IF NOT EXISTS apps (
  uuid TEXT PRIMARY KEY, owner TEXT NOT NULL, name TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL, created INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS app_versions (
  app TEXT NOT NULL REFERENCES apps ON DELETE CASCADE,
  version INTEGER NOT NULL, created_by TEXT NOT NULL, created INTEGER NOT NULL, spec TEXT NOT NULL,
  PRIMARY KEY (app, version)) WITHOUT ROWID;
]]

local TAGS <const> = [[
CREATE TABLE IF NOT EXISTS tags (
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  tag TEXT NOT NULL, PRIMARY KEY (tag, workflow)) WITHOUT ROWID;
]]

local SCHEMA <const> = [[
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS roots (path TEXT PRIMARY KEY, added INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS workflows (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL, number INTEGER NOT NULL,
  user TEXT NOT NULL, pool TEXT NOT NULL, priority TEXT NOT NULL, status TEXT NOT NULL,
  submit_time INTEGER NOT NULL, start_time INTEGER, end_time INTEGER,
  exec_timeout REAL, queue_timeout REAL,
  cancel_by TEXT, cancel_message TEXT, cancel_force INTEGER,
  failure_message TEXT, parent_name TEXT, parent_number INTEGER, warnings TEXT, labels TEXT,
  app_owner TEXT, app_name TEXT, app_version INTEGER, entry TEXT, entry_base TEXT);
CREATE INDEX IF NOT EXISTS workflows_alive ON workflows (seq)
  WHERE status IN ('PENDING', 'RUNNING', 'WAITING');
CREATE TABLE IF NOT EXISTS labels (
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key, value, workflow)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS specs (
  workflow INTEGER PRIMARY KEY REFERENCES workflows ON DELETE CASCADE,
  request TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS groups (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  name TEXT NOT NULL, uuid TEXT NOT NULL, status TEXT NOT NULL, cpu INTEGER NOT NULL,
  gpu INTEGER NOT NULL DEFAULT 0, memory REAL NOT NULL DEFAULT 0,
  spec TEXT NOT NULL, needs TEXT NOT NULL, failure_message TEXT,
  processing_start_time INTEGER, scheduling_start_time INTEGER, initializing_start_time INTEGER,
  start_time INTEGER, end_time INTEGER, preempted INTEGER);
CREATE INDEX IF NOT EXISTS groups_of ON groups (workflow);
CREATE INDEX IF NOT EXISTS groups_alive ON groups (status)
  WHERE status IN ('SUBMITTING', 'WAITING', 'PROCESSING', 'SCHEDULING', 'INITIALIZING', 'RUNNING');
CREATE TABLE IF NOT EXISTS tasks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  workflow INTEGER NOT NULL REFERENCES workflows ON DELETE CASCADE,
  grp INTEGER NOT NULL REFERENCES groups ON DELETE CASCADE,
  name TEXT NOT NULL, uuid TEXT NOT NULL, retry_id INTEGER NOT NULL DEFAULT 0,
  lead INTEGER NOT NULL, status TEXT NOT NULL, failure_message TEXT, exit_code INTEGER,
  cpu INTEGER NOT NULL, gpu INTEGER NOT NULL, memory REAL NOT NULL, storage REAL NOT NULL,
  processing_start_time INTEGER, scheduling_start_time INTEGER, initializing_start_time INTEGER,
  start_time INTEGER, end_time INTEGER,
  input_download_start_time INTEGER, input_download_end_time INTEGER,
  output_upload_start_time INTEGER, output_upload_end_time INTEGER,
  pid INTEGER, pid_start INTEGER, container TEXT);
CREATE INDEX IF NOT EXISTS tasks_of ON tasks (workflow);
CREATE INDEX IF NOT EXISTS tasks_in ON tasks (grp);
]] .. LISTED .. APPS .. TAGS

-- What makes a store of one version one of the next.
local MIGRATE <const> = {
  [1] = [[
ALTER TABLE workflows ADD COLUMN app_owner TEXT;
ALTER TABLE workflows ADD COLUMN app_name TEXT;
ALTER TABLE workflows ADD COLUMN app_version INTEGER;
ALTER TABLE workflows ADD COLUMN entry TEXT;
ALTER TABLE workflows ADD COLUMN entry_base TEXT;
ALTER TABLE groups ADD COLUMN gpu INTEGER NOT NULL DEFAULT 0;
ALTER TABLE groups ADD COLUMN memory REAL NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN container TEXT;
DROP INDEX IF EXISTS workflows_by_time;
]] .. LISTED .. APPS,
  [2] = "ALTER TABLE groups ADD COLUMN preempted INTEGER;\n" .. TAGS,
}

local function checked(value, e)
  if value == nil then
    error(e, 0)
  end
  return value
end

---Makes the tables, or brings older ones up to date, in one transaction. Raises.
---@param handle pai.db.connection
---@param path string of the store, for messages
function M.prepare(handle, path)
  local version = checked(handle:row("PRAGMA user_version")).user_version
  if version == VERSION then
    return
  elseif version ~= 0 and not MIGRATE[version] then
    err.raise(
      "EPROTO",
      ("the engine's store %s has version %d; this pai reads %d"):format(path, version, VERSION),
      { hint = "stop the other pai's engine, or use another --state folder" }
    )
  end
  handle:transaction(function()
    if version == 0 then
      checked(handle:exec(SCHEMA))
    end
    for step = version, version > 0 and VERSION - 1 or -1 do
      checked(handle:exec(MIGRATE[step]))
    end
    checked(handle:exec(("PRAGMA user_version = %d"):format(VERSION)))
  end)
end

return M

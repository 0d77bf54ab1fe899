---@meta pai.db

---SQLite for the engine's store. Calls block: up to 5 s when another process holds the lock.
---Errors carry SQLite's own names: `SQLITE_BUSY`, `SQLITE_CONSTRAINT_UNIQUE`.
---@class pai.db
local db = {}

---@class pai.db.connection
local connection = {}

---With sync = "full" a commit is on the disk when it returns. "normal" (the default) survives the
---death of the process; a power cut may take the last commits, never their order.
---@class pai.db.open_options
---@field readonly? boolean The file must be there and is not changed.
---@field sync? "normal"|"full"

---Opens or makes a database (mode 0600) with a write-ahead log and foreign keys on.
---@param path string Or ":memory:".
---@param opts? pai.db.open_options
---@return pai.db.connection?
---@return pai.error? err
function db.open(path, opts) end

---Runs any number of statements without parameters and drops their rows.
---@param sql string
---@return true?
---@return pai.error? err
function connection:exec(sql) end

---Runs one statement. Parameters: nil and null are NULL, true and false 1 and 0, `{ blob = s }`
---bytes; as many as the statement has marks.
---@param sql string
---@param ... any
---@return { changes: integer, last_id: integer }?
---@return pai.error? err
function connection:run(sql, ...) end

---The rows of one statement, by the names of its columns; a NULL is an absent key.
---@param sql string
---@param ... any
---@return table<string, any>[]?
---@return pai.error? err
function connection:rows(sql, ...) end

---The first row only, nil when there is none.
---@param sql string
---@param ... any
---@return table<string, any>?
---@return pai.error? err
function connection:row(sql, ...) end

---Runs fn inside BEGIN IMMEDIATE and COMMIT and gives on what it returns. An error in it rolls
---back and is raised again; so is a failure to begin or to commit. fn must not wait for anything:
---if it did, all is rolled back and an error raised.
---@param fn fun(db: pai.db.connection): ...
---@return any ...
function connection:transaction(fn) end

---Finalises every statement and closes. Again is fine; anything else on a closed one raises.
function connection:close() end

return db

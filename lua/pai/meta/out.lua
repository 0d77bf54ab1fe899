---@meta pai.out

---The one way to write text that people or files get; all of it passes the masker. Takes strings
---and numbers.
---@class pai.out
local out = {}

---@param fd 1|2 Standard output or standard error.
---@param ... string|number
---@return true? ok Also when the reader is gone: from then on nothing is written.
---@return pai.error? err
function out.write(fd, ...) end

---@param ... string|number
---@return true? ok
---@return pai.error? err
function out.stdout(...) end

---@param ... string|number
---@return true? ok
---@return pai.error? err
function out.stderr(...) end

---Writes also what is held back because it may be the beginning of a secret.
---@param fd 1|2
---@return true? ok
---@return pai.error? err
function out.flush(fd) end

---Whether the reader of standard output or error is gone.
---@param fd 1|2
---@return boolean
function out.closed(fd) end

---@class pai.out.channel
local channel = {}

---@param ... string|number
---@return true? ok
---@return pai.error? err A text that does not fit is taken back, so that no half of it stays.
function channel:write(...) end

---Writes what is held back and waits for the disk: the record is whole.
---@return true? ok
---@return pai.error? err
function channel:sync() end

---@return true? ok
---@return pai.error? err
function channel:close() end

---@class pai.out.open_options
---@field append? boolean `false` empties the file. Default true.
---@field mode? integer Permission bits of a new file. Default 0600.
---@field sync? boolean Every write waits for the disk.

---Opens a file as a text channel.
---@param path string
---@param opts? pai.out.open_options
---@return pai.out.channel? channel
---@return pai.error? err
function out.open(path, opts) end

return out

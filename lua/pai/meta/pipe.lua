---@meta pai.pipe

---What a program that speaks over its standard streams needs: lines of a descriptor as they come,
---and to know when another one takes text without holding the whole process.
---@class pai.pipe
local pipe = {}

---@class pai.pipe.lines
local lines = {}

---Makes a reader of lines. Nobody else may read the descriptor.
---@param fd integer
---@param opts? { max?: integer } Bytes of the longest line; default 8 MiB.
---@return pai.pipe.lines
function pipe.lines(fd, opts) end

---Waits for the next line; without its line end. One task at a time.
---@return string? line nil without an error: the end.
---@return pai.error? err `ELIMIT`: a line was too long and is passed over; the next call goes on.
function lines:read() end

---Waits until a descriptor takes 4 KiB at once, or its reader is gone.
---@param fd integer
---@param timeout? string|integer
---@return boolean? room False when the time is over.
---@return pai.error? err
function pipe.room(fd, timeout) end

return pipe

---@meta pai.ws

---WebSocket connections of a client (RFC 6455, without extensions), over ws:// and wss://. TLS is
---verified, a redirect is not followed, and errors name the server but never the URL's path or
---query, which may hold a key. Whoever waits lets other tasks go on.
---@class pai.ws
local ws = {}

---An open connection, of a client or of a server (pai.serve). One that is not needed any more should
---be closed, by `close`, `<close>` or by being forgotten; the last two tell the peer 1001 and do not
---wait. When a task is cancelled that waits on a client's connection, the connection ends.
---@class pai.ws.Conn
local Conn = {}

---@class pai.ws.options
---@field url string "ws://…" or "wss://…", without user and fragment.
---@field headers? table<string, string|number|pai.secret.handle>
---@field bearer? string|pai.secret.handle
---@field protocols? string[] Subprotocols to offer; `Conn:protocol` is the server's choice.
---@field timeout? string|integer Until the connection is open. Default "30s".
---@field max_message? integer Bytes of one message; more ends the connection. Default 16 MiB.
---@field ping? string|integer A silent peer is asked after this; after twice as long it is given up.
---@field unix_socket? string
---@field ca_file? string Certificates to trust in place of the system's.
---@field tls? pai.http.tls
---@field connect_to? string "host:port" that is dialled in place of the URL's, whose host is then
---the name that the certificate must have.
---@field proxy? string A URL, or "" for none. Default: as the environment says, never for loopback.

---Connects and checks the server's side of the handshake. Errors: `EHTTP` with `status` and `body`
---when the server answers anything but 101, `EPROTO` for a handshake that does not fit, `ENETWORK`
---(with `errno` where known, and `tls` for a refused certificate), `ETIMEDOUT`, `EINVAL`.
---@param opts pai.ws.options
---@return pai.ws.Conn?
---@return pai.error? err
function ws.connect(opts) end

---The next message. Those that came before the end are given first. At the end: `ECLOSED` with
---`clean` (a closing handshake took place), `close_code` and `reason`; `EPROTO` or `ELIMIT` when
---the peer broke the protocol or sent too much; `ENETWORK`; `ETIMEDOUT` when none came in time (then
---the connection goes on), or when a silent peer was given up.
---@param timeout? string|integer Default: none.
---@return string? message
---@return "text"|"binary"|pai.error|nil kind
function Conn:receive(timeout) end

---Sends a message; waits while the peer has much unread. Text must be UTF-8.
---@param data string
---@param kind? "binary"|"text" Default "binary".
---@param timeout? string|integer Default "30s"; the message stays queued after it.
---@return true?
---@return pai.error? err
function Conn:send(data, kind, timeout) end

---Says that it is over and waits for the peer's answer, at most so long (default "5s"); messages
---that still come can be received afterwards.
---@param code? integer 1000 (default) to 4999, of those that may be sent.
---@param reason? string Cut to 123 bytes.
---@param timeout? string|integer
---@return true?
---@return pai.error? err
function Conn:close(code, reason, timeout) end

---@return string? protocol The subprotocol that the server chose.
function Conn:protocol() end

---@return boolean open Neither side has said that it is over.
function Conn:is_open() end

return ws

-- The words before a command that put it into namespaces of another process (nsenter, of
-- util-linux).
local fs = require("pai.fs")

local M = {}

-- Whoever is not root enters a namespace from the user namespace that owns it. That need not be the
-- one that its processes live in: bubblewrap makes a second one where it has made terminals.
-- nsenter knows no way to the first before util-linux 2.40, so the kernel is asked: NS_GET_USERNS
-- of ioctl_ns(2) gives a descriptor of the owner of a namespace.
local OWNER <const> = [[
use Fcntl;
my ($pid, $kind) = (shift, shift);
open(my $ns, '<', "/proc/$pid/ns/$kind") or die "process $pid: $!\n";
my $fd = ioctl($ns, 0xb701, 0) or die "namespaces of process $pid: $!\n";
open(my $owner, '<&=', $fd) or die "namespaces of process $pid: $!\n";
fcntl($owner, F_SETFD, 0) or die "namespaces of process $pid: $!\n";
exec('nsenter', "--user=/proc/self/fd/$fd", '--preserve-credentials', @ARGV)
  or die "nsenter: $!\n";
]]

---@return boolean
function M.is_root()
  local _, uid = fs.user()
  return uid == 0
end

---@param pid integer|string
---@param kinds string[] "net", "mount", "pid", "ipc", "uts"; the first tells whose they are
---@return string[]
function M.words(pid, kinds)
  local out = { "nsenter" }
  if not M.is_root() then
    local first = kinds[1] == "mount" and "mnt" or kinds[1]
    out = { "perl", "-e", OWNER, tostring(pid), first }
  end
  table.move({ "--target", tostring(pid) }, 1, 2, #out + 1, out)
  for _, kind in ipairs(kinds) do
    out[#out + 1] = "--" .. kind
  end
  out[#out + 1] = "--"
  return out
end

return M

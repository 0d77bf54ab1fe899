-- One question a host, over ssh: a fixed command whose lines say what there is. It changes nothing.
local M = {}

-- Each line NAME=VALUE, and the listening sockets as `ss` prints them.
local COMMAND <const> = [[printf 'time=%s\n' "$(date +%s.%N)"
printf 'host=%s\nmachine=%s\n' "$(hostname)" "$(cat /etc/machine-id)"
sudo -n true 2>/dev/null && echo sudo=yes
printf 'swaps=%s\n' "$(tail -n +2 /proc/swaps | wc -l)"
printf 'iscsid=%s\n' "$(systemctl is-active iscsid 2>/dev/null)"
command -v mount.nfs4 >/dev/null && echo nfs=yes
printf 'free_kib=%s\n' "$(df -Pk /var/lib | awk 'NR == 2 { print $4 }')"
printf 'gpus=%s\n' "$(lspci -n -d 10de: 2>/dev/null | grep -c ' 03')"
for name in nvcr.io helm.ngc.nvidia.com quay.io registry.k8s.io; do
  getent hosts "$name" >/dev/null || printf 'unresolved=%s\n' "$name"
done
printf 'addresses=%s\n' "$(hostname -I)"
ss -ltnH]]

local PORTS <const> = { 6443, 2379, 2380, 10250 }

local function parsed(text)
  local facts = { unresolved = {}, listening = {} }
  for line in text:gmatch("[^\n]+") do
    local name, value = line:match("^([%w_]+)=(.*)$")
    local port = line:match("^LISTEN%s+%d+%s+%d+%s+%S-:(%d+)%s")
    if name == "unresolved" then
      table.insert(facts.unresolved, value)
    elseif name then
      facts[name] = value
    elseif port then
      facts.listening[math.tointeger(tonumber(port))] = true
    end
  end
  return facts
end

local function now(ctx)
  return tonumber(ctx.query({ "date", "+%s.%N" }).stdout)
end

---Asks a host.
---@param ctx pai.ctx
---@param host string "user@host"
---@return table? facts
---@return string? why not
function M.ask(ctx, host)
  local before = now(ctx)
  local argv = { "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes" }
  table.move({ "-o", "ConnectTimeout=15", "--", host, COMMAND }, 1, 5, #argv + 1, argv)
  local r = ctx.query(argv, { accept = "any", timeout = "45s" })
  local after = now(ctx)
  if r.code ~= 0 then
    return nil, r.stderr:match("([^\n]+)%s*$") or ("ssh ended with %s"):format(r.code or r.signal)
  end
  local facts = parsed(r.stdout)
  local there = tonumber(facts.time)
  if not there then
    return nil, "the answer is none of the command's"
  end
  -- The question took a while: the skew is known to half of that.
  local unsure = (after - before) / 2
  facts.skew = math.max(0, math.abs(there - (before + unsure)) - unsure)
  return facts
end

local function check(host, what, expected, good, measured, hint)
  return {
    name = ("%s: %s"):format(host, what),
    expected = expected,
    state = good and "ok" or "red",
    measured = measured,
    hint = hint,
  }
end

---The checks of one host.
---@param host string
---@param facts table
---@param role { worker: boolean, gpus: integer, disk_gib: number }
---@return table[]
function M.checks(host, facts, role)
  local busy = {}
  for _, port in ipairs(PORTS) do
    if facts.listening[port] then
      busy[#busy + 1] = tostring(port)
    end
  end
  local free = (tonumber(facts.free_kib) or 0) / 1024 / 1024
  local list = {
    check(host, "sudo", "without a password", facts.sudo == "yes", facts.sudo or "refused"),
    check(host, "swap", "off", facts.swaps == "0", facts.swaps, "swapoff -a, and out of fstab"),
    check(
      host,
      "clock",
      "within 1 s",
      facts.skew < 1,
      ("%.1f s"):format(facts.skew),
      "the same time source for all hosts"
    ),
    check(host, "ports", "free", #busy == 0, #busy == 0 and "free" or table.concat(busy, ", ")),
    check(
      host,
      "iscsid",
      "active",
      facts.iscsid == "active",
      facts.iscsid,
      "apt-get install open-iscsi; systemctl enable --now iscsid"
    ),
    check(host, "NFS client", "there", facts.nfs == "yes", facts.nfs or "none", "nfs-common"),
    check(
      host,
      "names",
      "resolved",
      #facts.unresolved == 0,
      #facts.unresolved == 0 and "all" or table.concat(facts.unresolved, ", "),
      "DNS, or a mirror of the registries"
    ),
  }
  if role.worker then
    list[#list + 1] = check(
      host,
      "GPUs on PCI",
      role.gpus,
      tonumber(facts.gpus) == role.gpus,
      facts.gpus,
      "lspci -d 10de: ; seating, power, BIOS"
    )
  else
    local wanted = (">= %d GiB"):format(role.disk_gib)
    local measured = ("%.0f GiB"):format(free)
    list[#list + 1] = check(host, "disk", wanted, free >= role.disk_gib, measured, "for Longhorn")
  end
  return list
end

return M

-- One question a host, over ssh: a fixed command whose lines say what there is. It changes nothing.
local lock = require("cluster-onprem.lock")
local matrix = require("cluster-onprem.matrix")
local remote = require("cluster-onprem.remote")

local M = {}

-- $1 is the VIP's device, $2 the VIP, $3 the registries, $4 addresses that nobody should
-- have. Each line NAME=VALUE, and the listening sockets as `ss` prints them. An address is asked
-- for by a packet to it: the kernel then asks by ARP, and the neighbour table has who answered.
-- Secure boot: the fifth byte of the EFI variable.
local COMMAND <const> = [[vip_device=$1 vip=$2 registries=$3 free=$4
printf 'time=%s\n' "$(date +%s.%N)"
printf 'host=%s\nmachine=%s\n' "$(hostname)" "$(cat /etc/machine-id)"
sudo -n true 2>/dev/null && echo sudo=yes
printf 'os=%s\nkernel=%s\n' "$(. /etc/os-release; echo "$PRETTY_NAME")" "$(uname -r)"
printf 'python=%s\n' "$(python3 --version 2>/dev/null)"
printf 'cpus=%s\n' "$(nproc)"
printf 'memory_kib=%s\n' "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
printf 'swaps=%s\n' "$(tail -n +2 /proc/swaps | wc -l)"
printf 'iscsid=%s\n' "$(systemctl is-active iscsid 2>/dev/null)"
command -v mount.nfs4 >/dev/null && echo nfs=yes
printf 'free_kib=%s\n' "$(df -Pk /var/lib | awk 'NR == 2 { print $4 }')"
printf 'gpus=%s\n' "$(lspci -n -d 10de: 2>/dev/null | grep -c ' 03')"
[ -e /etc/kubernetes/manifests ] && echo kubernetes=yes
if [ -d /sys/firmware/efi ]; then
  var=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
  printf 'secureboot=%s\n' "$(od -An -tu1 -j4 -N1 "$var" 2>/dev/null | tr -d ' ')"
else
  echo secureboot=none
fi
for one in $registries; do
  name=${one%:*} port=${one##*:}
  if ! getent hosts "$name" >/dev/null; then
    printf 'unresolved=%s\n' "$name"
  elif command -v bash >/dev/null; then
    timeout 8 bash -c ': </dev/tcp/"$1"/"$2"' sh "$name" "$port" 2>/dev/null ||
      printf 'unreached=%s\n' "$name" &
  fi
done
if [ -n "$vip" ]; then
  [ -e "/sys/class/net/$vip_device" ] && echo device=yes
  printf 'route=%s\n' "$(ip -4 -o route get "$vip" 2>/dev/null)"
fi
if [ -n "$free" ]; then
  if command -v ping >/dev/null; then
    for one in $free; do
      ping -n -c 1 -W 1 "$one" >/dev/null 2>&1 && printf 'answers=%s\n' "$one" &
    done
    echo probe=ping
  elif command -v bash >/dev/null; then
    for one in $free; do bash -c 'echo >/dev/udp/"$1"/9' sh "$one" 2>/dev/null & done
    sleep 2
    echo probe=udp
  fi
fi
wait
for one in $free; do
  ip -4 neigh show "$one" 2>/dev/null | awk '$0 ~ /lladdr/ { print "answers=" $1 }'
done
printf 'addresses=%s\n' "$(hostname -I)"
ss -ltnH]]

local PORTS <const> = { 6443, 2379, 2380, 10250 }

local LISTS <const> = { unresolved = true, unreached = true, answers = true }

local function parsed(text)
  local facts = { unresolved = {}, unreached = {}, answers = {}, listening = {} }
  for line in text:gmatch("[^\n]+") do
    local name, value = line:match("^([%w_]+)=(.*)$")
    local port = line:match("^LISTEN%s+%d+%s+%d+%s+%S-:(%d+)%s")
    if LISTS[name] then
      table.insert(facts[name], value)
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

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

---Asks a host.
---@param ctx pai.ctx
---@param inp table
---@param node cluster-onprem.Node
---@param free string[] addresses that it should find unanswered; none are asked for if empty
---@return table? facts
---@return string? why not
function M.ask(ctx, inp, node, free)
  local words = { inp.vip_interface, not node.worker and inp.vip or "" }
  words[3], words[4] = table.concat(inp.registries, " "), table.concat(free, " ")
  for i, word in ipairs(words) do
    words[i] = quoted(word)
  end
  local command = ("set -- %s\n%s"):format(table.concat(words, " "), COMMAND)
  local before = now(ctx)
  local r = remote.ask(ctx, inp, node, command)
  local after = now(ctx)
  if r.code ~= 0 then
    return nil, remote.said(r) or ("ssh ended with %s"):format(r.code or r.signal)
  end
  local facts = parsed(r.stdout)
  local there = tonumber(facts.time)
  if not there then
    return nil, "the answer is none of the command's"
  end
  -- The question took a while, most of it after the clock was read: the skew is known to that.
  facts.skew = math.max(0, before - there, there - after)
  return facts
end

-- A check of one host; `unless` is the state of one that is not good.
local function check(node, what, expected, good, measured, hint, unless)
  return {
    name = ("%s: %s"):format(node.name, what),
    expected = expected,
    state = good and "ok" or unless or "red",
    measured = measured,
    hint = hint,
  }
end

local function listed(list, none)
  return #list == 0 and none or table.concat(list, ", ")
end

-- The kernel that the matrix has for a node; the driver is built for it.
local function kernel(node, facts)
  local id = node.worker and "kernel.gpu" or "kernel.cp"
  for _, row in ipairs(matrix.rows) do
    if row.id == id then
      local fits = facts.kernel == row.want
      local hint = "another one is drift: the driver container has to build for it"
      return check(node, "kernel", row.want, fits, facts.kernel, hint, "warn")
    end
  end
end

local function ports(node, facts, again)
  local busy = {}
  for _, port in ipairs(PORTS) do
    if facts.listening[port] then
      busy[#busy + 1] = tostring(port)
    end
  end
  local mine = again and facts.kubernetes == "yes"
  local hint = facts.kubernetes and "Kubernetes is there already: reset the host, or verify it"
    or "something else listens there"
  return check(node, "ports", "free", #busy == 0, listed(busy, "free"), hint, mine and "warn")
end

local SECURE_BOOT <const> = { ["0"] = "off", ["1"] = "on", none = "no EFI" }

local function worker(node, facts, role)
  local boot = SECURE_BOOT[facts.secureboot]
  local hint = "switch it off in the firmware: the driver container's modules are not signed"
  return {
    check(
      node,
      "GPUs on PCI",
      role.gpus,
      tonumber(facts.gpus) == role.gpus,
      facts.gpus,
      "lspci -d 10de: ; seating, power, BIOS"
    ),
    check(
      node,
      "secure boot",
      "off",
      boot ~= nil and boot ~= "on",
      boot or "not to be read",
      hint,
      not boot and "unknown"
    ),
  }
end

-- kube-vip takes any name of a device and may report success with a wrong one.
local function plane(node, facts, role)
  local free = (tonumber(facts.free_kib) or 0) / 1024 / 1024
  local memory = (tonumber(facts.memory_kib) or 0) / 1024 / 1024
  local size = ("%s cores, %.0f GiB"):format(facts.cpus, memory)
  local roomy = (tonumber(facts.cpus) or 0) >= 12 and memory >= 23
  local device = (facts.route or ""):match(" dev (%S+)")
  local via = (facts.route or ""):match(" via (%S+)")
  local wanted = ("on %s, in its network"):format(role.device)
  local there = facts.device == "yes"
  local on_link = there and device == role.device and not via
  local said = not there and ("there is no device " .. role.device)
    or via and ("behind the router " .. via)
    or ("on " .. (device or "no device"))
  local room = (">= %d GiB"):format(role.disk_gib)
  local measured = ("%.0f GiB"):format(free)
  return {
    check(node, "disk", room, free >= role.disk_gib, measured, "for Longhorn"),
    check(node, "size", ">= 12 cores, 24 GB", roomy, size, "OSMO asks for that much", "warn"),
    check(node, "VIP's network", wanted, on_link, said, "vip and vip_interface go together"),
  }
end

---The checks of one host.
---@param node cluster-onprem.Node
---@param facts table
---@param role { gpus: integer, disk_gib: number, device: string, again: boolean }
---@return table[]
function M.checks(node, facts, role)
  local iscsi = "apt-get install open-iscsi; systemctl enable --now iscsid"
  local skew = ("%.1f s"):format(facts.skew)
  local python = (facts.python or ""):match("[%d.]+")
  local unreached = listed(facts.unreached, "all")
  local list = {
    check(node, "sudo", "without a password", facts.sudo == "yes", facts.sudo or "refused"),
    check(node, "system", lock.os, (facts.os or ""):sub(1, #lock.os) == lock.os, facts.os),
    kernel(node, facts),
    check(node, "python3", "there", python, python or "none", "Ansible runs its modules with it"),
    check(node, "swap", "off", facts.swaps == "0", facts.swaps, "swapoff -a, and out of fstab"),
    check(node, "clock", "within 1 s", facts.skew < 1, skew, "one time source for all hosts"),
    ports(node, facts, role.again),
    check(node, "iscsid", "active", facts.iscsid == "active", facts.iscsid, iscsi),
    check(node, "NFS client", "there", facts.nfs == "yes", facts.nfs or "none", "nfs-common"),
    check(
      node,
      "names",
      "resolved",
      #facts.unresolved == 0,
      listed(facts.unresolved, "all"),
      "DNS, or a mirror of the registries"
    ),
    check(
      node,
      "registries",
      "reached",
      #facts.unreached == 0,
      unreached,
      "a firewall or a proxy: give registries= the mirror's HOST:PORT"
    ),
  }
  local more = node.worker and worker(node, facts, role) or plane(node, facts, role)
  return table.move(more, 1, #more, #list + 1, list)
end

return M

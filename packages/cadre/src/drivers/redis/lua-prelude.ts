/**
 * What the server-side scripts share. Each runs as one step: nobody sees its half.
 *
 *   {PREFIX}:bus              format, a mark made once, the last id given
 *   {PREFIX}:streams          domain → id of its last event
 *   {PREFIX}:e:DOMAIN         a stream of events: id, type, event (JSON), key, due
 *   {PREFIX}:i:EVENT          where an event is that came within the duplicate window
 *   {PREFIX}:wake             a short stream that tells of what changed
 *   {PREFIX}:groups           group → definition
 *   {PREFIX}:g:GROUP:cur      domain → last id read; `*` → where the group began
 *   {PREFIX}:g:GROUP:d        open deliveries: reference → a line (below)
 *   {PREFIX}:g:GROUP:due      when each is to be handed out, in milliseconds
 *   {PREFIX}:g:GROUP:held     when the leases of a claim run out, for those that it holds together
 *   {PREFIX}:g:GROUP:of       token of that claim → references (JSON)
 *   {PREFIX}:g:GROUP:left     token of that claim → how many it still holds
 *   {PREFIX}:g:GROUP:c        events of deliveries that carry their own
 *   {PREFIX}:g:GROUP:lane     key → the delivery that holds it
 *   {PREFIX}:g:GROUP:q:KEY    deliveries that wait behind it, in the order of their positions
 *
 * A reference is the event's id and a number. Its line: state, attempt, token, position, domain,
 * then `=` and the key where the group is ordered. A copy has the domain `-`. States:
 *
 *   R ready    L leased    D retry, delayed    S scheduled    P parked    B behind its key
 *   H leased, with all others of its claim: has no time of its own in `due`
 *
 * All keys have one hash tag, so a bus lies in one slot of a cluster. All times are the server's.
 */
export const prelude = `
local P = string.sub(KEYS[1], 1, -4)
local call = redis.call
local GROUPS, STREAMS, WAKE = P .. 'groups', P .. 'streams', P .. 'wake'

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function stream_of(domain) return P .. 'e:' .. domain end
local function part(group, name) return P .. 'g:' .. group .. ':' .. name end
local function split(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function before(left, right)
  local lm, ls = split(left)
  local rm, rs = split(right)
  return lm < rm or (lm == rm and ls < rs)
end
local function rank_of(id)
  local ms, seq = split(id)
  return ms * 2048 + math.min(seq, 2047)
end
local function text(number) return string.format('%.0f', number) end

-- Ids rise over all streams, so that positions compare across them.
local function next_id(ms, last)
  local lm, ls = 0, -1
  if last then lm, ls = split(last) end
  if ms > lm then return text(ms) .. '-0' end
  if ls >= 2047 then return text(lm + 1) .. '-0' end
  return text(lm) .. '-' .. text(ls + 1)
end

-- A third text may say where the newest event lies.
local function tell(kind, name, place)
  local entry = { 'MAXLEN', '~', 4096, '*', kind, name }
  if place then entry[7], entry[8] = 'at', place end
  call('XADD', WAKE, unpack(entry))
end

local records = {}
local function record_of(group)
  if records[group] == nil then
    local found = call('HGET', GROUPS, group)
    records[group] = found and cjson.decode(found) or false
  end
  return records[group]
end

local function matches(prefixes, type)
  if not type then return true end
  for _, wanted in ipairs(prefixes) do
    local kind, words = string.sub(wanted, 1, 1), string.sub(wanted, 2)
    if words == type then return true end
    if kind == '^' and (words == '' or string.sub(type, 1, #words + 1) == words .. '.') then
      return true
    end
  end
  return false
end

local function fields_of(entry)
  local fields = {}
  local list = entry[2]
  for at = 1, #list, 2 do fields[list[at]] = list[at + 1] end
  return fields
end

-- The server counts how far a group is behind only from a place whose number it is told.
local function number_at(domain, from)
  local info = redis.pcall('XINFO', 'STREAM', stream_of(domain))
  if info.err then return nil end
  local facts = {}
  for at = 1, #info, 2 do facts[info[at]] = info[at + 1] end
  if before(from, facts['last-generated-id']) then return nil end
  return facts['entries-added']
end

local function create(group, domain, from)
  local args = { 'XGROUP', 'CREATE', stream_of(domain), group, from, 'MKSTREAM' }
  local number = number_at(domain, from)
  if number then
    args[7], args[8] = 'ENTRIESREAD', number
  end
  local made = redis.pcall(unpack(args))
  if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then
    error(made.err)
  end
end

-- The cursors of a group's domains; groups are made on streams as these appear.
local function cursors(group, record)
  local found = {}
  local flat = call('HGETALL', part(group, 'cur'))
  for at = 1, #flat, 2 do found[flat[at]] = flat[at + 1] end
  local start = found['*'] or '0-0'
  found['*'] = nil
  local domains = record.domains or call('HKEYS', STREAMS)
  for _, domain in ipairs(domains) do
    if not found[domain] then
      create(group, domain, start)
      call('HSET', part(group, 'cur'), domain, start)
      found[domain] = start
    end
  end
  return found
end

local function parse(line)
  if not line then return nil end
  local state, attempt, token, at, domain, key =
    string.match(line, '^(%S+) (%S+) (%S+) (%S+) (%S+) ?(.*)$')
  return { state = state, attempt = tonumber(attempt), token = token, at = at, domain = domain,
    key = key ~= '' and string.sub(key, 2) or nil }
end
local function is_leased(d) return d.state == 'L' or d.state == 'H' end
local function load_delivery(group, ref)
  return parse(call('HGET', part(group, 'd'), ref))
end
local function keep_delivery(group, ref, d, due)
  local line = table.concat({ d.state, text(d.attempt), d.token or '-', d.at, d.domain }, ' ')
  if d.key then line = line .. ' =' .. d.key end
  call('HSET', part(group, 'd'), ref, line)
  if due then call('ZADD', part(group, 'due'), due, ref)
  else call('ZREM', part(group, 'due'), ref) end
end

-- So many of a claim are held with the others no more.
local function let_go(group, token, count)
  if call('HINCRBY', part(group, 'left'), token, -count) > 0 then return end
  call('ZREM', part(group, 'held'), token)
  call('HDEL', part(group, 'of'), token)
  call('HDEL', part(group, 'left'), token)
end

-- Makes the delivery its key's holder. False where another holds the key; then it waits.
local function take_lane(group, ref, d)
  if not d.key then return true end
  local holder = call('HGET', part(group, 'lane'), d.key)
  if holder == ref then return true end
  if not holder then
    call('HSET', part(group, 'lane'), d.key, ref)
    return true
  end
  d.state = 'B'
  call('ZADD', part(group, 'q:' .. d.key), rank_of(d.at), ref)
  keep_delivery(group, ref, d, nil)
  return false
end
-- Lets the next of the key go, if this was its holder.
local function leave_lane(group, ref, d, ms)
  if not d.key then return false end
  if call('HGET', part(group, 'lane'), d.key) ~= ref then return false end
  local queue = part(group, 'q:' .. d.key)
  local first = call('ZPOPMIN', queue)[1]
  while first do
    local waiting = load_delivery(group, first)
    if waiting then
      waiting.state = 'R'
      call('HSET', part(group, 'lane'), d.key, first)
      keep_delivery(group, first, waiting, ms)
      return true
    end
    first = call('ZPOPMIN', queue)[1]
  end
  call('HDEL', part(group, 'lane'), d.key)
  return false
end
local function drop(group, ref, d, ms)
  call('HDEL', part(group, 'd'), ref)
  call('ZREM', part(group, 'due'), ref)
  if d.domain ~= '-' then call('XACK', stream_of(d.domain), group, d.at) end
  call('HDEL', part(group, 'c'), ref)
  return leave_lane(group, ref, d, ms)
end
`;

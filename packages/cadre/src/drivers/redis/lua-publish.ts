/** What the server does to take an event: into its stream, or for one group alone. */
import { defineScript, type Script } from "./script.ts";

const goOn = "-- and go on behind it";

const publishing = `
local window = tonumber(ARGV[1])
local ms = now_ms()
local answers, touched = {}, {}
local last = call('HGET', KEYS[1], 'last')
-- The last id in its two numbers, its time also as the text that the ids of one instant share.
local last_ms, last_seq, time = 0, -1, nil
local function go_on_from(id)
  last_ms, last_seq = split(id)
  time = nil
end
if last then go_on_from(last) end
local function another_id()
  if ms > last_ms then last_ms, last_seq, time = ms, 0, nil
  elseif last_seq >= 2047 then last_ms, last_seq, time = last_ms + 1, 0, nil
  else last_seq = last_seq + 1 end
  time = time or text(last_ms) .. '-'
  return time .. last_seq
end

local streams = {}
local function add(domain, fields)
  local stream = streams[domain] or stream_of(domain)
  streams[domain] = stream
  for _ = 1, 2 do
    local id = another_id()
    local made = redis.pcall('XADD', stream, id, unpack(fields))
    if type(made) ~= 'table' then
      last = id
      return id
    end
    if not string.find(made.err, 'equal or smaller') then return nil, made.err end
    -- Somebody has written to the stream by hand, with ids of its own.
    local info = call('XINFO', 'STREAM', stream)
    for at = 1, #info, 2 do
      if info[at] == 'last-generated-id' then go_on_from(info[at + 1]) end
    end
  end
  return nil, 'ERR the stream gives no id'
end

local marks, known = {}, {}
if window > 0 then
  for at = 2, #ARGV, 6 do marks[#marks + 1] = P .. 'i:' .. ARGV[at] end
  if #marks > 0 then
    for at, place in ipairs(call('MGET', unpack(marks))) do
      if place then known[ARGV[at * 6 - 4]] = place end
    end
  end
end
for at = 2, #ARGV, 6 do
  local id, domain, key, due = ARGV[at], ARGV[at + 1], ARGV[at + 4], ARGV[at + 5]
  local number = #answers + 1
  if known[id] then answers[number] = known[id]
  else
    local fields = { 'id', id, 'type', ARGV[at + 2], 'event', ARGV[at + 3] }
    if key ~= '' then fields[7], fields[8] = 'key', string.sub(key, 2) end
    if due ~= '' then
      fields[#fields + 1] = 'due'
      fields[#fields + 1] = due
    end
    local place, problem = add(domain, fields)
    if place then
      if window > 0 then
        call('SET', marks[number], place, 'PX', window)
        known[id] = place
      end
      touched[domain] = place
      answers[number] = place
    else
      answers[number] = '!' .. problem
      ${goOn}
    end
  end
end
for domain, place in pairs(touched) do
  call('HSET', STREAMS, domain, place)
  tell('d', domain, place)
end
if next(touched) then call('HSET', KEYS[1], 'last', last) end
return answers
`;

/**
 * Arguments: the duplicate window in milliseconds; then for each event its id, domain, type, JSON,
 * key (`=` and the key, or nothing), due time (or nothing). Answers one id, or `!` and an error,
 * for each.
 */
export const publishScript: Script = defineScript(publishing);

/** The same, up to the first error. */
export const orderedPublishScript: Script = defineScript(publishing.replace(goOn, "break"));

/**
 * Arguments: group, the event as above, attempt. Answers the position, or `none` where there is no
 * such group.
 */
export const directScript: Script = defineScript(`
local group, id, domain, type_, json, key, due, attempt = unpack(ARGV)
local record = record_of(group)
if not record then return 'none' end
local ms = now_ms()
local known = call('GET', P .. 'i:' .. id)
if known and matches(record.prefixes, type_) then
  local cursor = cursors(group, record)[domain]
  if cursor and before(cursor, known) then return known end
end
local at = known
local number = 0
local ref, parked
while true do
  ref = id .. '#' .. number
  local d = load_delivery(group, ref)
  if not d then break end
  at = at or d.at
  if d.state == 'P' then
    parked = d
    break
  end
  if not is_leased(d) then return d.at end
  number = number + 1
end
if not at then
  at = next_id(ms, call('HGET', KEYS[1], 'last'))
  call('HSET', KEYS[1], 'last', at)
end
local d = parked or { at = at, domain = '-' }
if not parked and record.ordered and key ~= '' then d.key = string.sub(key, 2) end
d.attempt, d.token = tonumber(attempt), nil
call('HSET', part(group, 'c'), ref, json)
if due ~= '' and tonumber(due) > ms then
  d.state = 'S'
  keep_delivery(group, ref, d, tonumber(due))
else
  d.state = 'R'
  if take_lane(group, ref, d) then keep_delivery(group, ref, d, ms) end
end
tell('g', group)
return d.at
`);

/**
 * Forgets the oldest events of the streams that are over their bound, never one that a group has
 * still to be handed or has open. Arguments: most events of a stream, oldest time kept; 0 is none.
 */
export const trimScript: Script = defineScript(`
local most, oldest = tonumber(ARGV[1]), tonumber(ARGV[2])
local names = call('HKEYS', GROUPS)
for _, name in ipairs(names) do cursors(name, record_of(name)) end
local gone = 0
for _, domain in ipairs(call('HKEYS', STREAMS)) do
  local key = stream_of(domain)
  local cut
  if oldest > 0 then cut = text(oldest) .. '-0' end
  local over = most > 0 and call('XLEN', key) - most or 0
  if over > 0 then
    local page = call('XRANGE', key, '-', '+', 'COUNT', math.min(over + 1, 257))
    local edge = page[#page] and page[#page][1]
    if edge and (not cut or before(cut, edge)) then cut = edge end
  end
  local info = redis.pcall('XINFO', 'GROUPS', key)
  if cut and not info.err then
    for _, flat in ipairs(info) do
      local group = {}
      for at = 1, #flat, 2 do group[flat[at]] = flat[at + 1] end
      local floor = group['last-delivered-id']
      if group.pending > 0 then floor = call('XPENDING', key, group.name)[2] end
      if before(floor, cut) then cut = floor end
    end
    gone = gone + call('XTRIM', key, 'MINID', cut)
  end
end
return gone
`);

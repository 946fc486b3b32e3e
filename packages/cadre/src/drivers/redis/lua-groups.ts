/** Groups as the server keeps them, pages of events, and dead letters. */
import { defineScript, type Script } from "./script.ts";

/**
 * Arguments: group, its record as JSON, where a new one begins (`new`, or an id after which), and
 * a mark for a bus that has none. Answers the record that is kept, and the bus's mark.
 */
export const joinScript: Script = defineScript(`
local group, json, from = ARGV[1], ARGV[2], ARGV[3]
call('HSETNX', KEYS[1], 'mark', ARGV[4])
local kept = call('HGET', GROUPS, group)
if not kept then
  if from == 'new' then from = call('HGET', KEYS[1], 'last') or '0-0' end
  call('HSET', GROUPS, group, json)
  call('HSET', part(group, 'cur'), '*', from)
  kept = json
end
cursors(group, cjson.decode(kept))
return { kept, call('HGET', KEYS[1], 'mark') }
`);

/** Argument: group. */
export const deleteGroupScript: Script = defineScript(`
local group = ARGV[1]
local found = call('HDEL', GROUPS, group)
for _, domain in ipairs(call('HKEYS', part(group, 'cur'))) do
  if domain ~= '*' then redis.pcall('XGROUP', 'DESTROY', stream_of(domain), group) end
end
for _, key in ipairs(call('HKEYS', part(group, 'lane'))) do
  call('DEL', part(group, 'q:' .. key))
end
for _, name in ipairs({ 'cur', 'd', 'due', 'held', 'of', 'left', 'c', 'lane' }) do
  call('DEL', part(group, name))
end
tell('g', group)
return found
`);

/** Answers, for each group: name, definition, position, events behind (-1: not known), open. */
export const listScript: Script = defineScript(`
local answers = {}
local last = call('HGET', KEYS[1], 'last') or '0-0'
for _, group in ipairs(call('HKEYS', GROUPS)) do
  local record = record_of(group)
  local behind, place = 0, last
  for domain, cursor in pairs(cursors(group, record)) do
    local lag
    for _, flat in ipairs(call('XINFO', 'GROUPS', stream_of(domain))) do
      local info = {}
      for at = 1, #flat, 2 do info[flat[at]] = flat[at + 1] end
      if info.name == group then lag = info.lag end
    end
    if not lag then behind = -1
    elseif behind >= 0 then behind = behind + lag end
    if lag ~= 0 and before(cursor, place) then place = cursor end
  end
  local open = call('HLEN', part(group, 'd'))
  for _, value in ipairs({ group, record.definition, place, behind, open }) do
    answers[#answers + 1] = value
  end
end
return answers
`);

/**
 * A page of events over several streams, in the order of positions. Arguments: `forward` or
 * `backward`, the place to go on from (not included), the last place (not included, or nothing),
 * how many, and the record of what is wanted as JSON. Answers how far it has looked, whether there
 * may be more, then for each event its position and JSON.
 */
export const pageScript: Script = defineScript(`
local backward, from, to = ARGV[1] == 'backward', ARGV[2], ARGV[3]
local count, wanted = tonumber(ARGV[4]), cjson.decode(ARGV[5])
local found = {}
local first = from == '' and (backward and '+' or '-') or '(' .. from
local last = to == '' and (backward and '-' or '+') or '(' .. to
for _, domain in ipairs(wanted.domains or call('HKEYS', STREAMS)) do
  local command = backward and 'XREVRANGE' or 'XRANGE'
  local page = call(command, stream_of(domain), first, last, 'COUNT', count)
  for _, entry in ipairs(page) do found[#found + 1] = entry end
end
table.sort(found, function(left, right)
  if backward then return before(right[1], left[1]) end
  return before(left[1], right[1])
end)
local reached = math.min(count, #found)
local answer = { reached > 0 and found[reached][1] or from, reached == count and 1 or 0 }
for at = 1, reached do
  local fields = fields_of(found[at])
  if matches(wanted.prefixes, fields.type) then
    answer[#answer + 1] = found[at][1]
    answer[#answer + 1] = fields.event or ''
  end
end
return answer
`);

/** Arguments: id, JSON. */
export const putLetterScript: Script = defineScript(`
local order = call('HINCRBY', KEYS[1], 'letters', 1)
call('HSET', P .. 'letters', ARGV[1], ARGV[2])
return call('ZADD', P .. 'letters:order', 'NX', order, ARGV[1])
`);

/** Argument: id. */
export const removeLetterScript: Script = defineScript(`
call('ZREM', P .. 'letters:order', ARGV[1])
return call('HDEL', P .. 'letters', ARGV[1])
`);

/** Arguments: the number after which, how many. Answers number and JSON of each. */
export const listLettersScript: Script = defineScript(`
local page = call('ZRANGEBYSCORE', P .. 'letters:order', '(' .. ARGV[1], '+inf', 'WITHSCORES',
  'LIMIT', 0, tonumber(ARGV[2]))
local answer = {}
for at = 1, #page, 2 do
  local letter = call('HGET', P .. 'letters', page[at])
  if letter then
    answer[#answer + 1] = page[at + 1]
    answer[#answer + 1] = letter
  end
end
return answer
`);

/** Arguments: format, how streams are chosen. Answers what is kept of both. */
export const prepareScript: Script = defineScript(`
call('HSETNX', KEYS[1], 'format', ARGV[1])
call('HSETNX', KEYS[1], 'streams', ARGV[2])
return call('HMGET', KEYS[1], 'format', 'streams')
`);

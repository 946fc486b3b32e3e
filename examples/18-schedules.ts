// What is due fires once, with three processes on one store, and after a time when nobody ran.
// The clock is a virtual one, so that days take moments.
import { memoryStore, type } from "cadre";
import { defineAgent, defineTask, startCadre } from "cadre/agents";
import { VirtualClock } from "cadre/testing";

const clock = new VirtualClock(Date.parse("2026-03-26T12:00:00Z")); // a Thursday
const store = memoryStore({ clock });
const time = (at: number): string => new Date(at).toISOString().slice(0, 16);

const Report = defineTask({ name: "report", input: type<string>(), output: type<string>() });
const clerk = defineAgent({ name: "clerk" }).does(Report, (about, { task }) => {
  console.log(`${time(clock.now())} report on ${about}: ${task.id}`);
  return about;
});

/** A process of the team, declaring its schedules at its start, as all do. */
async function startOne() {
  const team = await startCadre({ agents: [clerk], store, clock });
  const report = { task: Report, input: "yesterday" };
  await team.schedules.cron("report", "0 9 * * 1-5", report, { timeZone: "Europe/Berlin" });
  return team;
}

/** Lets the clock go to an instant; what it skips is quiet. */
async function goTo(text: string): Promise<void> {
  clock.jump(Date.parse(text) - 5_000 - clock.now());
  await clock.advance(6_000);
}

const teams = [await startOne(), await startOne(), await startOne()];
await goTo("2026-03-27T08:00Z"); // Friday, nine o'clock in winter
await goTo("2026-03-30T07:00Z"); // Monday, nine o'clock in summer
await teams[0]!.schedules.move("report", Date.parse("2026-03-31T06:30Z"));
await goTo("2026-03-31T06:30Z");
await goTo("2026-03-31T07:00Z"); // not again: this one was moved

const closing = Promise.all(teams.map((team) => team.close({ deadlineMs: 1_000 })));
await clock.advance(3_000);
await closing;
await goTo("2026-04-03T10:00Z"); // three working days with nobody there
const later = await startOne();
await clock.advance(1_000);
const [next] = await later.schedules.list();
console.log(`fired ${next?.fired} times, next ${time(next?.nextAt ?? 0)}`);
const closed = later.close({ deadlineMs: 1_000 });
await clock.advance(3_000);
await closed;
await store.close();

/* Output:
2026-03-27T08:00 report on yesterday: report@2026-03-27T08:00:00.000Z
2026-03-30T07:00 report on yesterday: report@2026-03-30T07:00:00.000Z
2026-03-31T06:30 report on yesterday: report@2026-03-31T06:30:00.000Z
2026-04-03T10:00 report on yesterday: report@2026-04-01T07:00:00.000Z
fired 4 times, next 2026-04-06T07:00
*/

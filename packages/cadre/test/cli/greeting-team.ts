/** A team as `cadre run` takes it, for the tests of this folder. */
import { type } from "cadre";
import { defineAgent, defineTask, type Cadre, type CadreOptions } from "cadre/agents";

const Greet = defineTask({
  name: "greet",
  input: type<{ readonly name: string }>(),
  output: type<string>(),
});

export const agents = [
  defineAgent({ name: "greeter", capacity: 2 }).does(Greet, ({ name }) => `Hello, ${name}!`),
];

export const cadre: CadreOptions = { name: "hall", heartbeatMs: 100, leaseMs: 1_000 };

export async function work(team: Cadre): Promise<void> {
  const ada = await team.tasks.create(Greet, { name: "Ada" }, { id: "greet-ada" });
  await ada.result();
}

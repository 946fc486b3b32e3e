/**
 * Makes one statement of what comes in one turn of the loop, or while the statement before is under
 * way.
 */
export class Lane<Item, Answer> {
  readonly #turn: () => Promise<void>;
  readonly #send: (items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly #onIdle: () => void;
  #queue: { item: Item; resolve: (answer: Answer) => void; reject: (error: unknown) => void }[] =
    [];
  #running: Promise<void> | undefined;

  /**
   * @param turn resolves at the end of the loop's turn
   * @param send answers each item, in their order
   */
  constructor(
    turn: () => Promise<void>,
    send: (items: readonly Item[]) => Promise<readonly Answer[]>,
    onIdle: () => void = () => {},
  ) {
    this.#turn = turn;
    this.#send = send;
    this.#onIdle = onIdle;
  }

  push(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when all that was pushed is answered. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.#turn();
      const queued = this.#queue.splice(0, maxItems);
      try {
        const answers = await this.#send(queued.map(({ item }) => item));
        for (const [index, { resolve }] of queued.entries()) resolve(answers[index]!);
      } catch (error) {
        for (const { reject } of queued) reject(error);
      }
    }
    this.#running = undefined;
    this.#onIdle();
  }
}

const maxItems = 1_000; // in one statement

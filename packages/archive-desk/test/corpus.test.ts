import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openCorpus } from "#src/corpus.ts";
import type { Document } from "#src/corpus.ts";
import { DeskError } from "#src/desk-error.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "desk-corpus-"));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function hasCode(code: DeskError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof DeskError && error.code === code;
}

test("the addresses are 233 documents in the order of years, each with its own id", async () => {
  const corpus = await openCorpus();
  assert.equal(corpus.ids.length, 233);
  assert.equal(new Set(corpus.ids).size, 233);
  assert.equal(corpus.ids[0], "1790-george-washington");
  const lincoln = await corpus.read("1863-abraham-lincoln");
  assert.equal(lincoln?.title, "Abraham Lincoln, 1863");
  assert.equal(lincoln?.year, 1863);
  assert.ok((lincoln?.text.length ?? 0) > 10_000);
});

test("two addresses of one year keep apart, and a name has no stray space", async () => {
  const { ids, read } = await openCorpus();
  assert.equal(ids.filter((id) => id.startsWith("1953-")).length, 2);
  const id = ids.find((each) => each.startsWith("1897-")) ?? "";
  assert.equal((await read(id))?.title, "William McKinley, 1897");
});

test("a limit takes the first documents, and only a whole number above 0 is a limit", async () => {
  assert.equal((await openCorpus({ limit: 3 })).ids.length, 3);
  for (const limit of [0, -1, 1.5, Number.NaN]) {
    await assert.rejects(openCorpus({ limit }), hasCode("INVALID_LIMIT"));
  }
});

test("a folder is read with its subfolders in the order of names", async () => {
  await inFolder(async (folder) => {
    await mkdir(join(folder, "sub"));
    await writeFile(join(folder, "b.txt"), "Second.");
    await writeFile(join(folder, "a 1863.md"), "First, with ü.");
    await writeFile(join(folder, "sub", "c.TXT"), "Third.");
    await writeFile(join(folder, "picture.png"), "not a text");
    const corpus = await openCorpus({ docsDir: folder });
    const documents: Document[] = [];
    for await (const document of corpus.documents()) documents.push(document);
    assert.deepEqual(documents, [
      { id: "a 1863.md", title: "a 1863", year: 1863, text: "First, with ü." },
      { id: "b.txt", title: "b", text: "Second." },
      { id: "sub/c.TXT", title: "c", text: "Third." },
    ]);
    assert.deepEqual(corpus.skipped, []);
  });
});

test("empty, broken and vanished files are skipped and named with the reason", async () => {
  await inFolder(async (folder) => {
    await writeFile(join(folder, "blank.txt"), " \n\t");
    await writeFile(join(folder, "latin.txt"), Buffer.from([0x63, 0x61, 0x66, 0xe9]));
    await writeFile(join(folder, "gone.txt"), "soon away");
    await writeFile(join(folder, "good.txt"), "Good.");
    const corpus = await openCorpus({ docsDir: folder });
    await rm(join(folder, "gone.txt"));
    const ids: string[] = [];
    for await (const { id } of corpus.documents()) ids.push(id);
    await corpus.read("blank.txt");
    assert.deepEqual(ids, ["good.txt"]);
    assert.deepEqual(
      corpus.skipped.map(({ file, reason }) => [file.slice(folder.length + 1), reason]),
      [
        ["blank.txt", "empty"],
        ["gone.txt", "unreadable"],
        ["latin.txt", "not UTF-8"],
      ],
    );
  });
});

test("a folder that is missing or has no texts is refused", async () => {
  await inFolder(async (folder) => {
    await assert.rejects(openCorpus({ docsDir: folder }), hasCode("NO_DOCUMENTS"));
    const missing = join(folder, "missing");
    await assert.rejects(openCorpus({ docsDir: missing }), hasCode("FOLDER_UNREADABLE"));
  });
});

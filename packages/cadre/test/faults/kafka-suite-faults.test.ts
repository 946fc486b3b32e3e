import { faultCarriers } from "./fault-carriers.ts";
import { faultSuite } from "./fault-suite.ts";

await faultSuite(faultCarriers["kafka"]!);

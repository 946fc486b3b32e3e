import { brokerFaults } from "./broker-faults.ts";
import { faultCarriers } from "./fault-carriers.ts";

brokerFaults(faultCarriers["eventbridge"]!);

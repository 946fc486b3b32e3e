function listOf(words: string): string[] {
  return words.trim().split(/\s*,\s*/);
}

/** Cities and countries whose names are, in these texts, mostly something else. */
export const notPlaces: readonly string[] = listOf(`
  Union, Liberty, Independence, Reading, Mobile, Orange, Bath, Most, Of, Male, Enterprise,
  Commerce, Industry, Providence, Surprise, Temple, Norman, Lincoln, Jackson, Madison, Jefferson,
  Cleveland, Grant, Monroe, Clinton, Hamilton, Franklin, Carter, Tyler, Pierce, Hayes, Garfield,
  Arthur, Roosevelt, Nice, Split, Federal, Plantation, Man, Allen, Warren, Clay, Irving, Vernon,
  Paterson, Peoria, Carson, Lawrence, Marion, Victoria, Salem, Corona, Davis, Thornton, Gilbert,
  Henderson, Abilene, Arvada, Central, Constitution, University, Santiago, Leon, Concord, Antioch,
  Washington D.C., Sterling Heights, Same, March, Bar, Carmel, Hope
`);

/** Places that the lists of today don't have: names of the time, continents, seas, regions. */
export const olderPlaces: readonly string[] = listOf(`
  America, North America, South America, Central America, Latin America, Europe, Asia, Africa,
  Australia, Antarctica, Middle East, Far East, Near East, Western Hemisphere, Southeast Asia,
  Eastern Europe, Western Europe, Central Europe, South Asia, West Indies, East Indies, Caribbean,
  Balkans, Orient, Persian Gulf, Pacific, Atlantic, Mediterranean, Great Lakes, Great Britain,
  Britain, England, Scotland, Wales, United Kingdom, Ireland, Northern Ireland, Prussia,
  Austria-Hungary, Austria, Hungary, Bavaria, Saxony, Hanover, Wurttemberg, Ottoman Empire,
  Turkey, Russia, Soviet Union, Czechoslovakia, Yugoslavia, East Germany, West Germany, Czech
  Republic, Siam, Persia, Burma, Ceylon, Formosa, Manchuria, Korea, North Korea, South Korea,
  Vietnam, South Vietnam, North Vietnam, Indochina, Laos, Cambodia, Hawaii, Hawaiian Islands,
  Sandwich Islands, Philippines, Philippine Islands, Puerto Rico, Porto Rico, Cuba, Hayti, Haiti,
  Santo Domingo, San Domingo, St. Domingo, New Granada, Bolivia, Venezuela, Brazil, Texas,
  Louisiana, Florida, East Florida, West Florida, Oregon, California, Lower California, New
  Mexico, Alaska, Kansas, Nebraska, Utah, Dakota, Indian Territory, District of Columbia,
  Washington, Washington City, New Orleans, New York, Philadelphia, Boston, Baltimore, Charleston,
  St. Louis, Mobile Bay, Vera Cruz, Panama, Panama Canal, Isthmus of Panama, Isthmus, Nicaragua,
  Samoa, Samoan Islands, Guam, Tutuila, Apia, Barbary, Tripoli, Algiers, Tunis, Morocco, Egypt,
  Liberia, Congo, Kongo, Zanzibar, Transvaal, Rhodesia, Iran, Iraq, Syria, Kuwait, Bosnia, Kosovo,
  Berlin, West Berlin, Paris, London, Vienna, Geneva, Madrid, Lisbon, Brussels, Hague, The Hague,
  Rome, Naples, Sicily, Sardinia, Sicilies, Two Sicilies, Netherlands, Holland, Denmark, Sweden,
  Norway, Spain, Portugal, France, Italy, Greece, Crete, Canada, Nova Scotia, New Brunswick,
  Newfoundland, Quebec, Upper Canada, Lower Canada, British Columbia, Mexico, Yucatan, Colombia,
  Tennessee Valley, Normandy, Pearl Harbor, Hiroshima, Guadalcanal, Okinawa, Iwo Jima, Potsdam,
  Yalta, Manila, Peking, Canton, Shanghai, Tokyo, Taiwan, Hong Kong, Palestine, Israel, Jerusalem,
  West Bank, Gaza, Suez, Lebanon, Armenia, Poland, Ukraine, Crimea, Baghdad, Kabul, Afghanistan,
  Fallujah, Bering Sea, Behring Sea, Red Sea, Black Sea, Mississippi, Missouri, Ohio, Potomac, Rio
  Grande, St. Lawrence, Columbia River, Red River, Arkansas, Wisconsin, Michigan, Chesapeake,
  Rocky Mountains, Grenada, El Salvador, Rwanda, Somalia, Libya, Gulf Coast, Silicon Valley,
  Appalachia, Wall Street, New England, Ghent, Amiens, Monterey, Buena Vista, Matamoras, Tampico,
  Fonseca, Tangier, Tientsin, Venice, Dardanelles, Rhine, Danube, Amur, Kamchatka, Vladivostok,
  Sonora, Chihuahua, Sudan, Syrian Arab Republic, Tanzania, Moldova, Bahamas, Gambia
`);

/** Given names that are, in these texts, mostly other words. */
export const notGivenNames: readonly string[] = listOf(`
  Will, May, April, June, August, Grant, Mark, Bill, Art, Christian, Faith, Hope, Grace, Joy,
  Rich, Sunny, Lane, Dale, Church, America, Georgia, Virginia, Carolina, Dakota, Case, Chance,
  Royal, General, Major, Prince, Earl, Duke, King, Judge, Justice, Constitution, Page, Pace, Star,
  Young, Price, Chase, Cash, Dean, Pearl, Ruby, Merry, Easter, Eastern, Summer, Winter, Autumn,
  West, North, Ward, Rose, Gay, Ray, Hale, Storm, Mercy, Honor, Honour, Sterling, Hunter, Marshal,
  Marshall, Norman, Saxon, Asia, India, China, Kenya, Ireland, Israel, Paris, Sydney, London,
  Berlin, Florence, Savannah, Cuba, Brook, Brooks, Clay, Cliff, Forest, Heath, Glen, Dell, Troy,
  Noble, Worth, Wells, Washington, Lee, Penny, Fed, Van, Ally, Union, Happy, Sun, Sea, Angel, Bay,
  Ivy, Minister, Roman, Loyal, Orange, Crystal, Ginger, Holly, Melody, Harmony, Charity,
  Constance, Prudence, Patience, Temple, Vale, Berry, Olive, Tally, Tiffany, Marine, Cherry,
  Golden, Silver, Early, Free, French, German, Dutch, English, Spanish, Regan, Baker, Porter,
  Carter, Foster, Guy, Jewel, Lake, Ocean, River, Say, See, So, Man, My, Ham, Park, Mayor, Tobey,
  Shell, Cat, Arab, Indian, Isle, Port, Rock, Mission, Fort, Federal, National, Public, Civil,
  Social
`);

/** Given names that the packages' lists lack. */
export const rareGivenNames: readonly string[] = listOf(`
  Ulysses, Dwight, Lyndon, Barack, Rutherford, Grover, Millard, Zachary, Saddam, Osama, Mikhail,
  Nikita, Napoleon, Ferdinand, Vladimir
`);

/** Nouns that end or begin the name of an organisation. */
export const bodyNouns: readonly string[] = listOf(`
  Department, Bank, Company, Court, Congress, Senate, Commission, Committee, Association, Party,
  Army, Navy, Corps, Council, Board, Bureau, Institute, Institution, University, College, Academy,
  Railroad, Railway, Corporation, Agency, Administration, Authority, Service, Office, League,
  Treasury, Ministry, Guard, Society, Fund, Organization, Parliament, Cabinet, Assembly, Tribunal,
  Federation, Alliance, Conference, Legislature, Library, Museum, Hospital, Police, Brigade,
  Squadron, Force, House, Nations, Embassy, Mint, Foundation, Cortes, Community, Union,
  Government, Governments, Confederation
`);

/** Nouns that end or begin the name of a place. */
export const landNouns: readonly string[] = listOf(`
  River, Rivers, Lake, Lakes, Mountains, Mountain, Island, Islands, Bay, Sea, Ocean, Valley, Gulf,
  Isthmus, Canal, Strait, Straits, County, City, Territory, Territories, Harbor, Coast, Peninsula,
  Sound, Cape, Province, Desert, Falls, Creek, Street, Avenue, Region, Basin, Hemisphere
`);

/** Organisations known by their letters. */
export const acronyms: readonly string[] = listOf(`
  NATO, NASA, FBI, CIA, OPEC, SEATO, OAS, EPA, FDA, IMF, OPA, NRA, TVA, AEC, UNESCO, UNRRA, WTO,
  NAFTA, ISIL, ISIS, AFL, CIO, NIH, FAA, FTC, SEC, ICC, VA, FHA, RFC, CCC, PLO, EU, EC, EEC, HEW,
  HUD, GAO, GSA, OMB, USIA, ACTION
`);

/** Capitalised words that alone aren't the name of anything. */
export const genericNouns: readonly string[] = listOf(`
  First, New, Great, Old, Our, American, British, French, Spanish, German, English, Indian,
  Mexican, Soviet, Russian, Chinese, Japanese, Christian, State, States, Government, Constitution,
  Act, Treaty, Article, Articles, Section, Sections, House, Fellow, Citizens, God, Almighty, Mr,
  Mrs, President, Vice, Secretary, General, Senator, Representative, Minister, January, February,
  March, April, May, June, July, August, September, October, November, December, Sunday, Monday,
  Tuesday, Wednesday, Thursday, Friday, Saturday, Executive, War, Navy, Interior, Republic,
  Nation, Union, Chief, Justice, Postmaster, Attorney, Commissioner, Consul, King, Queen, Emperor,
  Majesty, Prime, Governor, Captain, Court, Congress, Republican, Republicans, Democrat,
  Democrats, Americans, Bill, Medicare, Medicaid, Social, Security
`);

/** Words that compromise takes for names in formal prose. */
export const notNames: readonly string[] = listOf(`
  Soviet, European, Presidential, Territorial, French, Spanish, British, German, Congressional,
  Legislation, Security, DC, Post-Office, General Land Office,
  Congress, Congresses, I, Sir, God, Almighty, Providence, Constitution, State, States, Union,
  Nation, Government, Governments, Republic, President, Executive, Secretary, Senator, Senators,
  Representative, Representatives, Treaty, Act, Commissioner, Commissioners, Minister, Territory,
  Territories, American, Americans, Christian, Indian, Indians, Democrat, Democrats, Republican,
  Republicans, Mr, Speaker, Department, Departments, Administration, Cabinet, House, Army, Navy,
  Messrs, Fellow, Citizens, General, Federal, National, Treasury, Postmaster, Attorney, Chief
  Magistrate, Court, Courts, Member, Members, Great, Powers, Ordnance, Board, Commission,
  Committee, Bureau, Council, Society, Party, Medicare, Medicaid
`);

/** Titles that stand before a person's name, in lower case. */
export const titles: readonly string[] = listOf(`
  mr, mrs, ms, messrs, dr, president, vice president, vice-president, general, gen, major,
  major-general, brigadier-general, colonel, col, captain, capt, lieutenant, lieut, commander,
  commodore, admiral, rear-admiral, rear admiral, senator, representative, congressman,
  congresswoman, speaker, secretary, governor, judge, justice, chief justice, chancellor,
  ambassador, prime minister, premier, minister, king, queen, emperor, emir, prince, princess,
  pope, professor, reverend, sir, lord, chairman, leader, sergeant, private, corporal, officer,
  first lady, ex-president, ex-king, mayor, attorney general, marshal, baron, count, marquis,
  honorable, hon
`);

/** Nouns that both libraries take for a part of somebody's name. */
export const notInPersons: readonly string[] = listOf(`
  Labor, Farm, Standards, Economic, Situation, Legislation, STATES, KNOX, FHA, Action, Shoals,
  Einstein, Harbor, Call, Cutting,
  Doctrine, Indian, Indians, Housing, Full, Act, Bill, Plan, Treaty, Land, Revenue, Occasions,
  Rico, Domingo, Regent, Commanding, Due, Mint, Staff, U. S. S, Program, Security, Care,
  Convention, Amendment, Law, Laws, Tariff, Medal, Award, Day, Church, Party, State, States, Fund,
  Government, Union, Congress, Senate, House, Order, Assembly, Superintendent, Surveyor,
  Inspector, Consul, Qaida, Qaeda, Hurricane, Maj, Canal, Line, Island, Islands, River, Bureau,
  Ordnance, Survey, Almighty, God, Heaven, Heavenly, Providence, Thor, Court, Agent, Agents,
  Tribe, Tribes, Nation, Nations, Century, Depression, Declaration, Revolution, War, Peace, Bond,
  Bonds, Territory, Work, Works, Affairs, Claims, Commission, Corps, Service, Militia, Marine,
  Marines, Deal, Frontier, Society, Budget, Economy, Family, Council, Lady, Republican,
  Republicans, Democrat, Democrats
`);

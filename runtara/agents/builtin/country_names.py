"""The countries of ISO 3166-1: codes, the usual English name, and other names people write.

Names are compared by their words in any order, without case, accents, punctuation, *the*, *of* and *and*
(``runtara.agents.builtin.countries``); forms like "Kingdom of …" before a name need no line here.
"""

from __future__ import annotations

from typing import Final

__all__ = ("COUNTRIES",)

COUNTRIES: Final = """
AD AND Andorra
AE ARE United Arab Emirates | UAE | Emirates
AF AFG Afghanistan
AG ATG Antigua and Barbuda | Antigua
AI AIA Anguilla
AL ALB Albania
AM ARM Armenia
AO AGO Angola
AQ ATA Antarctica
AR ARG Argentina | Argentine Republic
AS ASM American Samoa
AT AUT Austria | Österreich
AU AUS Australia
AW ABW Aruba
AX ALA Åland Islands | Åland | Aland
AZ AZE Azerbaijan
BA BIH Bosnia and Herzegovina | Bosnia
BB BRB Barbados
BD BGD Bangladesh
BE BEL Belgium | België | Belgique
BF BFA Burkina Faso
BG BGR Bulgaria
BH BHR Bahrain
BI BDI Burundi
BJ BEN Benin
BL BLM Saint Barthélemy | St Barthélemy | St Barts
BM BMU Bermuda
BN BRN Brunei Darussalam | Brunei
BO BOL Bolivia | Plurinational State of Bolivia
BQ BES Bonaire, Sint Eustatius and Saba | Caribbean Netherlands | Bonaire
BR BRA Brazil | Brasil
BS BHS Bahamas
BT BTN Bhutan
BV BVT Bouvet Island
BW BWA Botswana
BY BLR Belarus | Byelorussia
BZ BLZ Belize
CA CAN Canada
CC CCK Cocos (Keeling) Islands | Cocos Islands | Keeling Islands
CD COD Congo, Democratic Republic of the | DR Congo | DRC | Congo Kinshasa | Zaire
CF CAF Central African Republic | CAR
CG COG Congo | Republic of the Congo | Congo Brazzaville
CH CHE Switzerland | Swiss Confederation | Schweiz | Suisse
CI CIV Côte d'Ivoire | Ivory Coast
CK COK Cook Islands
CL CHL Chile
CM CMR Cameroon
CN CHN China | PRC | Mainland China
CO COL Colombia
CR CRI Costa Rica
CU CUB Cuba
CV CPV Cabo Verde | Cape Verde
CW CUW Curaçao
CX CXR Christmas Island
CY CYP Cyprus
CZ CZE Czechia | Czech Republic
DE DEU Germany | Deutschland
DJ DJI Djibouti
DK DNK Denmark | Danmark
DM DMA Dominica
DO DOM Dominican Republic
DZ DZA Algeria
EC ECU Ecuador
EE EST Estonia
EG EGY Egypt
EH ESH Western Sahara
ER ERI Eritrea
ES ESP Spain | España
ET ETH Ethiopia
FI FIN Finland | Suomi
FJ FJI Fiji
FK FLK Falkland Islands (Malvinas) | Falkland Islands | Falklands | Malvinas
FM FSM Micronesia | Federated States of Micronesia
FO FRO Faroe Islands | Faeroe Islands | Faroes
FR FRA France | French Republic
GA GAB Gabon | Gabonese Republic
GB GBR United Kingdom | UK | Great Britain | Britain | Great Britain and Northern Ireland | England | Scotland | Wales
GD GRD Grenada
GE GEO Georgia
GF GUF French Guiana
GG GGY Guernsey
GH GHA Ghana
GI GIB Gibraltar
GL GRL Greenland
GM GMB Gambia
GN GIN Guinea
GP GLP Guadeloupe
GQ GNQ Equatorial Guinea
GR GRC Greece | Hellenic Republic | Hellas
GS SGS South Georgia and the South Sandwich Islands | South Georgia
GT GTM Guatemala
GU GUM Guam
GW GNB Guinea-Bissau
GY GUY Guyana | Co-operative Republic of Guyana
HK HKG Hong Kong | Hong Kong SAR | Hong Kong Special Administrative Region of China
HM HMD Heard Island and McDonald Islands
HN HND Honduras
HR HRV Croatia | Hrvatska
HT HTI Haiti
HU HUN Hungary
ID IDN Indonesia
IE IRL Ireland | Eire
IL ISR Israel
IM IMN Isle of Man
IN IND India | Bharat
IO IOT British Indian Ocean Territory | Chagos Islands
IQ IRQ Iraq
IR IRN Iran | Persia
IS ISL Iceland
IT ITA Italy | Italian Republic | Italia
JE JEY Jersey
JM JAM Jamaica
JO JOR Jordan | Hashemite Kingdom of Jordan
JP JPN Japan
KE KEN Kenya
KG KGZ Kyrgyzstan | Kyrgyz Republic
KH KHM Cambodia | Kampuchea
KI KIR Kiribati
KM COM Comoros
KN KNA Saint Kitts and Nevis | St Kitts and Nevis
KP PRK North Korea | Democratic People's Republic of Korea | DPRK
KR KOR South Korea | Republic of Korea | Korea
KW KWT Kuwait
KY CYM Cayman Islands | Caymans
KZ KAZ Kazakhstan
LA LAO Laos | Lao People's Democratic Republic | Lao PDR
LB LBN Lebanon | Lebanese Republic
LC LCA Saint Lucia | St Lucia
LI LIE Liechtenstein
LK LKA Sri Lanka | Ceylon | Democratic Socialist Republic of Sri Lanka
LR LBR Liberia
LS LSO Lesotho
LT LTU Lithuania
LU LUX Luxembourg
LV LVA Latvia
LY LBY Libya
MA MAR Morocco
MC MCO Monaco
MD MDA Moldova
ME MNE Montenegro
MF MAF Saint Martin (French part) | Saint Martin | St Martin
MG MDG Madagascar
MH MHL Marshall Islands
MK MKD North Macedonia | Macedonia | FYROM
ML MLI Mali
MM MMR Myanmar | Burma
MN MNG Mongolia
MO MAC Macao | Macau | Macao SAR | Macao Special Administrative Region of China
MP MNP Northern Mariana Islands | Commonwealth of the Northern Mariana Islands
MQ MTQ Martinique
MR MRT Mauritania
MS MSR Montserrat
MT MLT Malta
MU MUS Mauritius
MV MDV Maldives
MW MWI Malawi
MX MEX Mexico | United Mexican States | México
MY MYS Malaysia
MZ MOZ Mozambique
NA NAM Namibia
NC NCL New Caledonia
NE NER Niger
NF NFK Norfolk Island
NG NGA Nigeria
NI NIC Nicaragua
NL NLD Netherlands | Holland | Nederland
NO NOR Norway | Norge
NP NPL Nepal
NR NRU Nauru
NU NIU Niue
NZ NZL New Zealand | Aotearoa
OM OMN Oman
PA PAN Panama
PE PER Peru
PF PYF French Polynesia | Tahiti
PG PNG Papua New Guinea | PNG
PH PHL Philippines
PK PAK Pakistan
PL POL Poland | Polska
PM SPM Saint Pierre and Miquelon | St Pierre and Miquelon
PN PCN Pitcairn | Pitcairn Islands
PR PRI Puerto Rico
PS PSE Palestine | State of Palestine | Palestinian Territories | Occupied Palestinian Territory
PT PRT Portugal | Portuguese Republic
PW PLW Palau
PY PRY Paraguay
QA QAT Qatar
RE REU Réunion
RO ROU Romania | Rumania
RS SRB Serbia
RU RUS Russian Federation | Russia
RW RWA Rwanda | Rwandese Republic
SA SAU Saudi Arabia | KSA
SB SLB Solomon Islands
SC SYC Seychelles
SD SDN Sudan
SE SWE Sweden | Sverige
SG SGP Singapore
SH SHN Saint Helena, Ascension and Tristan da Cunha | Saint Helena | St Helena
SI SVN Slovenia
SJ SJM Svalbard and Jan Mayen | Svalbard
SK SVK Slovakia | Slovak Republic
SL SLE Sierra Leone
SM SMR San Marino
SN SEN Senegal
SO SOM Somalia
SR SUR Suriname | Surinam
SS SSD South Sudan
ST STP Sao Tome and Principe | São Tomé and Príncipe
SV SLV El Salvador | Salvador
SX SXM Sint Maarten (Dutch part) | Sint Maarten
SY SYR Syrian Arab Republic | Syria
SZ SWZ Eswatini | Swaziland
TC TCA Turks and Caicos Islands | Turks and Caicos
TD TCD Chad
TF ATF French Southern Territories | French Southern and Antarctic Lands
TG TGO Togo | Togolese Republic
TH THA Thailand | Siam
TJ TJK Tajikistan
TK TKL Tokelau
TL TLS Timor-Leste | East Timor
TM TKM Turkmenistan
TN TUN Tunisia
TO TON Tonga
TR TUR Türkiye | Turkey
TT TTO Trinidad and Tobago | Trinidad
TV TUV Tuvalu
TW TWN Taiwan | Taiwan, Province of China | Republic of China | Chinese Taipei
TZ TZA Tanzania | United Republic of Tanzania
UA UKR Ukraine
UG UGA Uganda
UM UMI United States Minor Outlying Islands | US Minor Outlying Islands
US USA United States | United States of America | America
UY URY Uruguay | Eastern Republic of Uruguay
UZ UZB Uzbekistan
VA VAT Holy See | Vatican City State | Vatican City | Vatican | Holy See (Vatican City State)
VC VCT Saint Vincent and the Grenadines | St Vincent and the Grenadines | Saint Vincent
VE VEN Venezuela | Bolivarian Republic of Venezuela
VG VGB British Virgin Islands
VI VIR US Virgin Islands | Virgin Islands, U.S. | Virgin Islands of the United States
VN VNM Viet Nam | Vietnam | Socialist Republic of Viet Nam
VU VUT Vanuatu
WF WLF Wallis and Futuna
WS WSM Samoa | Western Samoa
YE YEM Yemen | Yemeni Republic
YT MYT Mayotte
ZA ZAF South Africa | RSA
ZM ZMB Zambia
ZW ZWE Zimbabwe
"""
"""A line each: alpha-2, alpha-3, and the names with `` | `` between them, the usual one first."""

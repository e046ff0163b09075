"""The cars of the embedded sample market: makes, models, engines and trims, as compact tables.

Written from general knowledge of the Indian market. The figures are rounded and plausible, not
quoted from any price list or data set. :func:`variants` parses the tables once; a variant is one
trim with one engine and one gearbox, and its name is composed in the style of its make.

A model's price is that of its first trim with its first engine and gearbox. The others follow::

    ln(price when new) = ln(price of the model) + trim step + fuel step + gearbox step
                         + 0.35 ln(power / power of the first engine)

where the fuel and gearbox steps are differences to the first engine and the first gearbox.
"""

import functools
import math
import re
from dataclasses import dataclass, replace
from typing import Final

LAKH: Final = 100_000
POWER_ELASTICITY: Final = 0.35
TRIM_STEP: Final = 0.09
"""Rise of ln(price) from trim to trim where a model names its trims without prices."""

FUEL_STEPS: Final = {
    "Petrol": 0.0,
    "LPG": 0.04,
    "CNG": 0.17,
    "Diesel": 0.16,
    "Hybrid": 0.10,
    "Electric": 0.20,
}
GEARBOX_STEPS: Final = {
    "MT": 0.0,
    "IMT": 0.03,
    "AMT": 0.06,
    "AT": 0.12,
    "CVT": 0.12,
    "IVT": 0.12,
    "DCT": 0.14,
    "DSG": 0.14,
}
MANUAL: Final = frozenset({"MT", "IMT"})

# The label is what a variant's name says of the engine: nothing for "-", and "_" is a space.
# key fuel cc bhp years label
_ENGINES: Final = """
f8 Petrol 796 47 2000-2024 -
f8g CNG 796 41 2010-2024 CNG
k10 Petrol 998 67 2010-2024 1.0
k10g CNG 998 56 2014-2024 1.0_CNG
k10l LPG 1061 57 2006-2012 DUO_LPG
k11 Petrol 1061 64 2003-2012 -
k12 Petrol 1197 83 2010-2024 1.2
k12g CNG 1197 77 2019-2024 1.2_CNG
k12n Petrol 1197 82 2017-2024 1.2
g13 Petrol 1298 87 2005-2010 1.3
k14 Petrol 1373 94 2010-2018 1.4
k15 Petrol 1462 103 2018-2024 1.5
k15g CNG 1462 87 2020-2024 1.5_CNG
k15h Hybrid 1490 114 2022-2024 1.5_HYBRID
bjet Petrol 998 99 2017-2024 1.0_BOOSTERJET
d13 Diesel 1248 74 2007-2019 1.3
d13s Diesel 1248 89 2012-2019 1.3_SHVS
d15 Diesel 1498 94 2019-2020 1.5_DDIS
d16s Diesel 1598 118 2015-2018 1.6
g16 Petrol 1586 104 2007-2014 1.6
h08 Petrol 814 55 2011-2019 0.8
h11 Petrol 1086 68 2003-2024 1.1
h11g CNG 1086 59 2018-2024 1.1_CNG
h10 Petrol 998 68 2014-2019 1.0
h12 Petrol 1197 82 2008-2024 1.2_KAPPA
h12g CNG 1197 68 2019-2024 1.2_BI-FUEL_CNG
h10t Petrol 998 118 2019-2024 1.0_TURBO_GDI
h15 Petrol 1497 113 2019-2024 1.5_MPI
h15t Petrol 1482 158 2023-2024 1.5_TURBO_GDI
h14t Petrol 1353 138 2020-2022 1.4_TURBO
h14 Petrol 1396 99 2009-2018 1.4_VTVT
h16 Petrol 1591 121 2011-2019 1.6_VTVT
h20 Petrol 1999 153 2016-2024 2.0
c11 Diesel 1120 71 2013-2018 1.1_CRDI
c14 Diesel 1396 89 2010-2020 1.4_CRDI
c12 Diesel 1186 74 2017-2020 1.2_CRDI
c15 Diesel 1493 114 2019-2024 1.5_CRDI
c16 Diesel 1582 126 2011-2019 1.6_CRDI
c20 Diesel 1995 182 2012-2024 2.0_CRDI
c22 Diesel 2199 197 2010-2024 2.2_CRDI
hev Electric 0 134 2019-2024 39_KWH
t12 Petrol 1199 84 2014-2024 1.2_REVOTRON
t12g CNG 1199 72 2022-2024 ICNG
t12t Petrol 1199 118 2017-2024 1.2_TURBO
t105 Diesel 1047 69 2016-2020 1.05_REVOTORQ
t15 Diesel 1497 108 2017-2024 1.5_REVOTORQ
t20 Diesel 1956 168 2019-2024 2.0_KRYOTEC
t22 Diesel 2179 154 2010-2020 2.2_VARICOR
t06 Petrol 624 37 2009-2018 -
tqj Diesel 1248 74 2008-2018 1.3_QUADRAJET
tind Diesel 1396 70 2004-2016 1.4_TDI
tsaf Petrol 1193 64 2006-2016 1.2_MPFI
tevs Electric 0 74 2021-2024 24_KWH
tevl Electric 0 127 2020-2024 30.2_KWH
tevx Electric 0 143 2022-2024 40.5_KWH
m12 Petrol 1197 109 2019-2024 1.2_TURBO
m12k Petrol 1198 82 2016-2022 G80
m15 Diesel 1497 115 2019-2024 1.5
m15t Diesel 1493 100 2012-2022 MHAWK_100
m15s Diesel 1493 75 2018-2024 MHAWK_75
m20p Petrol 1997 200 2020-2024 2.0_TURBO
m22 Diesel 2179 140 2006-2024 2.2_MHAWK
m25 Diesel 2523 65 2002-2022 2.5_DI
mver Diesel 1461 64 2007-2018 1.5_DCI
mev Electric 0 147 2023-2024 39.4_KWH
mevs Electric 0 41 2011-2019 E
i12 Petrol 1199 89 2008-2024 1.2_I-VTEC
i15 Petrol 1497 118 2006-2024 1.5_I-VTEC
i18 Petrol 1799 139 2006-2024 1.8_I-VTEC
i24 Petrol 2354 161 2006-2014 2.4_I-VTEC
i20 Petrol 1997 151 2006-2019 2.0_I-VTEC
ihev Hybrid 1498 124 2022-2024 1.5_E:HEV
id15 Diesel 1498 98 2013-2022 1.5_I-DTEC
id16 Diesel 1597 118 2018-2021 1.6_I-DTEC
y12 Petrol 1197 79 2011-2024 1.2
y15 Petrol 1496 106 2010-2024 1.5
y18 Petrol 1798 138 2006-2020 1.8
y18h Hybrid 1798 120 2012-2018 1.8_HYBRID
y25h Hybrid 2487 176 2013-2024 2.5_HYBRID
y20h Hybrid 1987 184 2022-2024 2.0_HYBRID
y15h Hybrid 1490 114 2022-2024 HYBRID
y27 Petrol 2694 164 2012-2024 2.7
yd14 Diesel 1364 67 2010-2020 1.4_D
yd24 Diesel 2393 148 2016-2024 2.4
yd25 Diesel 2494 101 2005-2016 2.5
yd28 Diesel 2755 201 2009-2024 2.8
yd30 Diesel 2982 171 2009-2016 3.0
yd45 Diesel 4461 262 2009-2021 4.5_V8
r08 Petrol 799 53 2015-2024 0.8
r10 Petrol 999 67 2016-2024 1.0
r10t Petrol 999 99 2020-2024 1.0_TURBO
r15 Petrol 1498 104 2017-2022 1.5
r13t Petrol 1330 154 2020-2022 1.3_TURBO
r15d Diesel 1461 84 2010-2020 85_PS
r15e Diesel 1461 108 2010-2020 110_PS
n12 Petrol 1198 75 2009-2020 1.2
f10t Petrol 999 123 2013-2021 1.0_ECOBOOST
f12 Petrol 1194 95 2008-2021 1.2_TI-VCT
f15 Petrol 1497 121 2010-2021 1.5_TI-VCT
f14d Diesel 1399 68 2008-2016 1.4_TDCI
f15d Diesel 1498 99 2013-2021 1.5_TDCI
f20d Diesel 1996 168 2019-2021 2.0_TDCI
f22d Diesel 2198 158 2011-2019 2.2_TDCI
f32d Diesel 3198 197 2012-2019 3.2_TDCI
v10 Petrol 999 75 2017-2022 1.0_MPI
v10t Petrol 999 114 2019-2024 1.0_TSI
v12 Petrol 1198 74 2009-2018 1.2_MPI
v12t Petrol 1197 104 2012-2019 1.2_TSI
v15t Petrol 1498 148 2020-2024 1.5_TSI
v14t Petrol 1395 148 2013-2022 1.4_TSI
v16 Petrol 1598 104 2009-2020 1.6_MPI
v18t Petrol 1798 177 2008-2020 1.8_TSI
v20t Petrol 1984 188 2012-2024 2.0_TSI
v15d Diesel 1498 108 2014-2020 1.5_TDI
v16d Diesel 1598 104 2010-2015 1.6_TDI
v20d Diesel 1968 141 2008-2020 2.0_TDI
e12 Petrol 1199 109 2021-2024 1.2_TURBO
e12n Petrol 1199 81 2021-2024 1.2
ce20d Diesel 1997 174 2021-2024 2.0_DIESEL
eev Electric 0 56 2022-2024 29.2_KWH
g12 Petrol 1199 80 2009-2017 1.2
g10 Petrol 995 67 2007-2017 1.0
g10d Diesel 936 57 2011-2016 1.0_TCDI
g13d Diesel 1248 77 2012-2017 1.3_TCDI
g14 Petrol 1399 93 2006-2014 1.4
g20d Diesel 1991 148 2006-2017 2.0_VCDI
fi12 Petrol 1172 67 2008-2017 1.2_FIRE
fi13d Diesel 1248 92 2008-2018 1.3_MULTIJET
fi14t Petrol 1368 143 2014-2018 1.4_T-JET
mg15 Petrol 1498 108 2019-2024 1.5
mg15t Petrol 1451 141 2019-2024 1.5_TURBO
mg20d Diesel 1956 168 2019-2023 2.0_DIESEL
mg20t Diesel 1996 213 2020-2024 2.0_TWIN_TURBO
mgev Electric 0 174 2019-2024 50.3_KWH
mgce Electric 0 41 2023-2024 17.3_KWH
j14 Petrol 1368 160 2017-2024 1.4_MULTIAIR
j20d Diesel 1956 170 2017-2024 2.0_MULTIJET
j20p Petrol 1995 268 2018-2024 2.0
j36 Petrol 3604 285 2016-2020 3.6_V6
ml24 Petrol 2360 167 2008-2018 2.4
ml25d Diesel 2477 175 2012-2019 2.5_DI-D
ml28d Diesel 2835 118 2006-2013 2.8
ml16 Petrol 1584 98 2006-2012 1.6
is19 Diesel 1898 148 2018-2024 1.9
is25 Diesel 2499 134 2016-2022 2.5
is30 Diesel 2999 174 2017-2020 3.0
ss20 Diesel 2696 162 2012-2018 2.7_XVT
fo26 Diesel 2596 90 2012-2024 2.6
b15 Petrol 1499 138 2016-2024 18I
b20 Petrol 1998 189 2012-2024 20I
b30 Petrol 1998 255 2012-2024 30I
b40 Petrol 2998 335 2014-2024 40I
b50 Petrol 4395 523 2012-2024 50I
b18d Diesel 1995 148 2011-2024 18D
b20d Diesel 1995 188 2010-2024 20D
b30d Diesel 2993 258 2010-2024 30D
bm Petrol 2993 503 2014-2024 COMPETITION
bev Electric 0 321 2022-2024 EDRIVE40
a180 Petrol 1595 122 2012-2018 180
a200 Petrol 1332 161 2014-2024 200
a220d Diesel 2143 170 2010-2024 220_D
a300 Petrol 1991 254 2016-2024 300
a350d Diesel 2987 282 2010-2024 350_D
a450 Petrol 2999 362 2015-2024 450_4MATIC
amg Petrol 3982 577 2014-2024 63_AMG
amg45 Petrol 1991 381 2014-2024 45_AMG
aev Electric 0 402 2020-2024 400_4MATIC
u30 Petrol 1395 148 2014-2020 30_TFSI
u40 Petrol 1984 188 2016-2024 40_TFSI
u45 Petrol 1984 248 2017-2024 45_TFSI
u55 Petrol 2995 335 2019-2024 55_TFSI
u35d Diesel 1968 174 2009-2020 35_TDI
u45d Diesel 2967 241 2009-2020 45_TDI
urs Petrol 3996 591 2014-2024 4.0_TFSI
uev Electric 0 402 2021-2024 55
vo15 Petrol 1477 163 2018-2022 T4
vo20 Petrol 1969 250 2018-2024 B5
vod4 Diesel 1969 190 2012-2021 D4
vod5 Diesel 1969 235 2015-2021 D5
voev Electric 0 402 2021-2024 P8_RECHARGE
jl20 Petrol 1997 247 2012-2024 2.0_PETROL
jl20d Diesel 1999 177 2012-2024 2.0_DIESEL
jl30d Diesel 2993 296 2009-2024 3.0_DIESEL
jl30p Petrol 2996 394 2013-2024 3.0_PETROL
jl50p Petrol 4999 518 2012-2024 5.0_V8
jlev Electric 0 394 2021-2024 EV400
lx25h Hybrid 2487 215 2017-2024 300H
lx35h Hybrid 3456 308 2017-2024 450H
lx57d Diesel 4461 268 2012-2024 450D
p20 Petrol 1984 250 2014-2024 2.0
p30 Petrol 2995 335 2010-2024 3.0_V6
p30d Diesel 2967 245 2010-2019 3.0_DIESEL
p29t Petrol 2894 434 2015-2024 S
p40 Petrol 3996 541 2010-2024 TURBO
pf4 Petrol 2981 379 2008-2024 CARRERA
mi15 Petrol 1499 134 2014-2024 COOPER
mi20 Petrol 1998 189 2012-2024 COOPER_S
mid Diesel 1496 115 2014-2019 COOPER_D
miev Electric 0 181 2022-2024 SE
mas Diesel 2987 275 2015-2020 DIESEL
masp Petrol 2979 345 2018-2024 S_Q4
lam Petrol 3996 641 2018-2024 V8
ben Petrol 3993 500 2012-2024 V8
byd Electric 0 201 2022-2024 EXTENDED_RANGE
byd2 Electric 0 94 2022-2024 71.7_KWH
"""

# name: trim[:rise of ln(price):share of the equipment] …, "_" is a space
_LADDERS: Final = {
    "xi": "LXI:0:0 VXI:0.11:0.4 ZXI:0.22:0.75 ZXI+:0.29:1",
    "xi3": "LXI:0:0 VXI:0.10:0.5 ZXI:0.20:1",
    "std": "STD:0:0 LXI:0.10:0.35 VXI:0.19:0.8 VXI+:0.23:1",
    "nexa": "SIGMA:0:0.15 DELTA:0.11:0.4 ZETA:0.21:0.75 ALPHA:0.31:1",
    "smart": "SIGMA SMART_HYBRID:0.02:0.3 DELTA:0.11:0.45 ZETA:0.20:0.8 ALPHA:0.29:1",
    "asta": "ERA:0:0 MAGNA:0.10:0.35 SPORTZ:0.19:0.65 ASTA:0.28:0.9 ASTA_(O):0.34:1",
    "sx": "E:0:0.1 S:0.12:0.4 SX:0.25:0.8 SX_(O):0.35:1",
    "verna": "BASE:0:0.2 S:0.08:0.45 SX:0.18:0.8 SX_(O):0.28:1",
    "htx": "HTE:0:0.1 HTK:0.11:0.35 HTK+:0.19:0.55 HTX:0.29:0.8 HTX+:0.39:0.95 GTX+:0.45:1",
    "xz": "XE:0:0 XM:0.09:0.3 XT:0.17:0.6 XZ:0.25:0.85 XZ+:0.32:1",
    "xza": "XE:0:0.1 XM:0.09:0.35 XT:0.18:0.6 XZ:0.29:0.85 XZ+_(O):0.38:1",
    "w": "W4:0:0.2 W6:0.10:0.45 W8:0.22:0.8 W8_(O):0.29:0.95 W11:0.33:1",
    "ax": "MX:0:0.25 AX3:0.14:0.5 AX5:0.26:0.75 AX7:0.39:0.95 AX7_L:0.47:1",
    "s": "S3:0:0.1 S5:0.08:0.3 S7:0.18:0.6 S9:0.25:0.8 S11:0.32:1",
    "honda": "E:0:0.1 S:0.09:0.4 V:0.20:0.75 VX:0.28:1",
    "city": "S:0:0.3 SV:0.08:0.5 V:0.15:0.7 VX:0.24:0.9 ZX:0.32:1",
    "toyota": "J:0:0.1 G:0.12:0.5 V:0.24:0.85 VX:0.32:1",
    "inn": "GX:0:0.3 VX:0.20:0.7 ZX:0.31:1",
    "glanza": "E:0:0.2 S:0.10:0.45 G:0.19:0.8 V:0.28:1",
    "kwid": "STD:0:0 RXE:0.06:0.1 RXL:0.15:0.4 RXT:0.23:0.8 CLIMBER:0.29:1",
    "rx": "RXE:0:0.1 RXL:0.11:0.4 RXS:0.18:0.6 RXT:0.24:0.8 RXZ:0.31:1",
    "nissan": "XE:0:0.1 XL:0.11:0.45 XV:0.22:0.8 XV_PREMIUM:0.29:1",
    "datsun": "D:0:0 A:0.08:0.3 T:0.17:0.7 T_(O):0.22:1",
    "ford": "AMBIENTE:0:0.1 TREND:0.10:0.4 TITANIUM:0.22:0.8 TITANIUM_+:0.30:1",
    "vw": "TRENDLINE:0:0.15 COMFORTLINE:0.12:0.5 HIGHLINE:0.25:0.85 HIGHLINE_PLUS:0.31:1",
    "vwn": "COMFORTLINE:0:0.3 HIGHLINE:0.13:0.6 TOPLINE:0.26:0.9 GT:0.30:1",
    "skoda": "ACTIVE:0:0.2 AMBITION:0.13:0.6 STYLE:0.25:0.95 MONTE_CARLO:0.30:1",
    "laurin": "ELEGANCE:0:0.6 STYLE:0.08:0.8 L&K:0.18:1",
    "mg": "STYLE:0:0.3 SUPER:0.11:0.55 SMART:0.24:0.8 SHARP:0.35:1",
    "jeep": "SPORT:0:0.3 LONGITUDE:0.11:0.5 LONGITUDE_(O):0.17:0.65 LIMITED:0.26:0.85 "
    "LIMITED_PLUS:0.33:1",
    "chevy": "PS:0:0.1 LS:0.10:0.35 LT:0.20:0.7 LTZ:0.29:1",
    "fiat": "ACTIVE:0:0.1 DYNAMIC:0.11:0.55 EMOTION:0.21:1",
    "lux": "STANDARD:0:0.7 SPORT:0.07:0.85 LUXURY_LINE:0.11:0.95 M_SPORT:0.17:1",
    "merc": "CLASSIC:0:0.65 AVANTGARDE:0.09:0.85 EXCLUSIVE:0.14:0.95 AMG_LINE:0.19:1",
    "audi": "PREMIUM:0:0.65 PREMIUM_PLUS:0.10:0.9 TECHNOLOGY:0.19:1",
    "volvo": "KINETIC:0:0.6 MOMENTUM:0.07:0.8 INSCRIPTION:0.16:1",
    "jlr": "PURE:0:0.6 S:0.07:0.75 SE:0.14:0.9 HSE:0.22:1",
    "one": "-:0:1",
}

# A line that starts with "#" opens a make: its name; how well it holds value (1 is average, less
# falls faster); the order of a variant name's parts: t trim, e engine, g gearbox, m "MT" is named
# too. The lines below it are its models, each with body, segment and seats; years; price when new
# in lakh; cars in 10,000; engines with their gearboxes, the usual one first; a ladder or trims.
_MODELS: Final = """
# Maruti | 1.10 | teg
Alto 800 | Hatchback city 5 | 2012-2023 | 3.3 | 190 | f8:MT f8g:MT | std
Alto K10 | Hatchback city 5 | 2010-2024 | 3.9 | 130 | k10:MT,AMT k10g:MT | std
Alto | Hatchback city 5 | 2007-2012 | 2.9 | 60 | f8:MT f8g:MT | std
Wagon R 1.0 | Hatchback city 5 | 2010-2024 | 5.0 | 250 | k10:MT,AMT k10g:MT | xi3
Wagon R 1.2 | Hatchback city 5 | 2019-2024 | 5.5 | 90 | k12:MT,AMT | xi
Wagon R Duo | Hatchback city 5 | 2007-2010 | 3.7 | 5 | k11:MT k10l:MT | LX LXI
Swift | Hatchback city 5 | 2007-2024 | 5.8 | 330 | k12:MT,AMT d13:MT,AMT k12g:MT g13:MT | xi
Baleno | Hatchback premium 5 | 2015-2024 | 6.3 | 300 | k12:MT,CVT,AMT d13:MT k12g:MT bjet:MT | nexa
Celerio | Hatchback city 5 | 2014-2024 | 4.8 | 140 | k10:MT,AMT k10g:MT | xi
Celerio X | Hatchback city 5 | 2017-2021 | 5.1 | 16 | k10:MT,AMT | VXI VXI_(O) ZXI ZXI_(O)
Ritz | Hatchback city 5 | 2009-2017 | 4.9 | 90 | k12:MT,AT d13:MT | xi3
S Presso | Hatchback city 5 | 2019-2024 | 4.2 | 75 | k10:MT,AMT k10g:MT | std
Ignis | Hatchback premium 5 | 2017-2024 | 5.6 | 90 | k12:MT,AMT d13:MT | nexa
A Star | Hatchback city 5 | 2008-2014 | 4.1 | 18 | k10:MT,AT | xi3
Estilo | Hatchback city 5 | 2007-2013 | 3.9 | 8 | k10:MT k11:MT | LX LXI VXI
Zen | Hatchback city 5 | 2006-2007 | 3.6 | 1.1 | k11:MT | LX LXI VXI
Dzire | Sedan city 5 | 2008-2024 | 6.4 | 290 | k12:MT,AMT d13:MT,AMT k12g:MT | xi
Dzire Tour | Sedan city 5 | 2012-2023 | 6.0 | 5 | k12:MT d13:MT k12g:MT | STD S
Ciaz | Sedan sedan 5 | 2014-2024 | 8.6 | 150 | k15:MT,AT k14:MT,AT d13s:MT d15:MT | smart
SX4 | Sedan sedan 5 | 2007-2014 | 7.5 | 20 | g16:MT,AT d13s:MT | xi3
Ertiga | MUV people 7 | 2012-2024 | 8.4 | 200 | k15:MT,AT d13s:MT k14:MT k15g:MT | xi
XL6 | MUV people 6 | 2019-2024 | 11.0 | 45 | k15:MT,AT k15g:MT | ZETA ALPHA ALPHA+
Eeco | MUV people 7 | 2010-2024 | 4.6 | 70 | k12n:MT k12g:MT | 5_STR 5_STR_AC 7_STR
Omni | MUV people 8 | 2007-2019 | 2.6 | 7 | f8:MT | E MPI_STD 8_STR
Vitara Brezza | SUV suv 5 | 2016-2022 | 8.0 | 190 | k15:MT,AT d13s:MT,AMT | xi
Brezza | SUV suv 5 | 2022-2024 | 8.5 | 70 | k15:MT,AT k15g:MT | xi
Grand Vitara | SUV suv 5 | 2022-2024 | 10.9 | 45 | k15:MT,AT k15h:CVT | nexa
Grand Vitara 2.4 | SUV executive 5 | 2008-2014 | 18.0 | 0.9 | ml24:MT,AT | one
Fronx | SUV suv 5 | 2023-2024 | 7.6 | 30 | k12:MT,AMT bjet:MT,AT k12g:MT | nexa
Jimny | SUV suv 4 | 2023-2024 | 12.7 | 4 | k15:MT,AT | ZETA ALPHA
S Cross | SUV suv 5 | 2015-2022 | 8.9 | 55 | d13s:MT k15:MT,AT d16s:MT | nexa
Gypsy | SUV suv 4 | 2007-2018 | 6.2 | 1.5 | g13:MT | KING_HT_BS-III KING_ST
Invicto | MUV people 7 | 2023-2024 | 25.0 | 0.8 | y20h:CVT | ZETA+ ALPHA+
# Hyundai | 1.04 | tegm
Eon | Hatchback city 5 | 2011-2019 | 3.6 | 95 | h08:MT h10:MT | D-LITE ERA_+ MAGNA_+ SPORTZ
Santro Xing | Hatchback city 5 | 2007-2014 | 3.9 | 30 | h11:MT | XO GL GLS
Santro | Hatchback city 5 | 2018-2022 | 4.8 | 85 | h11:MT,AMT h11g:MT | asta
i10 | Hatchback city 5 | 2007-2016 | 4.4 | 150 | h12:MT,AT h11:MT | asta
Grand i10 | Hatchback city 5 | 2013-2021 | 5.4 | 260 | h12:MT,AT c11:MT c12:MT h12g:MT | asta
Grand i10 Nios | Hatchback city 5 | 2019-2024 | 5.9 | 110 | h12:MT,AMT c12:MT,AMT h12g:MT | asta
i20 | Hatchback premium 5 | 2008-2014 | 5.7 | 120 | h12:MT c14:MT h14:AT | asta
Elite i20 | Hatchback premium 5 | 2014-2020 | 6.3 | 190 | h12:MT,CVT c14:MT h14:AT | asta
New i20 | Hatchback premium 5 | 2020-2024 | 7.2 | 80 | h12:MT,IVT h10t:IMT,DCT c15:MT | asta
i20 Active | Hatchback premium 5 | 2015-2020 | 7.0 | 24 | h12:MT c14:MT | BASE S SX SX_DUAL_TONE
i20 N Line | Hatchback premium 5 | 2021-2024 | 9.9 | 3 | h10t:IMT,DCT | N6 N8
Getz | Hatchback city 5 | 2007-2010 | 4.6 | 1.5 | h11:MT | GVS GLS
Xcent | Sedan city 5 | 2014-2020 | 5.9 | 70 | h12:MT,AT c11:MT c12:MT | BASE S SX SX_(O)
Aura | Sedan city 5 | 2020-2024 | 6.4 | 45 | h12:MT,AMT c12:MT,AMT h12g:MT h10t:MT | sx
Accent | Sedan city 5 | 2007-2013 | 5.2 | 3 | h14:MT | GLE GLS EXECUTIVE
Verna | Sedan sedan 5 | 2011-2024 | 9.3 | 140 | h16:MT,AT c16:MT,AT h15:MT,IVT c15:MT | verna
Elantra | Sedan executive 5 | 2012-2022 | 15.2 | 9 | h20:MT,AT c16:MT,AT | verna
Sonata | Sedan executive 5 | 2008-2015 | 19.0 | 0.7 | c20:AT,MT | one
Venue | SUV suv 5 | 2019-2024 | 7.6 | 150 | h12:MT h10t:IMT,DCT,MT c15:MT | sx
Creta | SUV suv 5 | 2015-2024 | 10.8 | 260 | h15:MT,IVT c15:MT,AT c16:MT,AT h16:MT,AT h14t:DCT | sx
Alcazar | SUV suv 7 | 2021-2024 | 16.5 | 18 | c15:MT,AT h20:MT,AT | PRESTIGE PLATINUM SIGNATURE
Tucson | SUV executive 5 | 2016-2024 | 22.0 | 6 | h20:AT c20:AT | GL GLS SIGNATURE
Santa Fe | SUV executive 7 | 2010-2017 | 25.0 | 1.5 | c22:AT,MT | 2WD 4WD
Exter | SUV suv 5 | 2023-2024 | 6.1 | 14 | h12:MT,AMT h12g:MT | EX S SX SX_(O)
Kona Electric | SUV suv 5 | 2019-2023 | 23.8 | 0.9 | hev:AT | PREMIUM
# KIA | 1.06 | tegm
Seltos | SUV suv 5 | 2019-2024 | 10.4 | 170 | h15:MT,IVT c15:MT,AT h14t:DCT,MT h15t:DCT | htx
Sonet | SUV suv 5 | 2020-2024 | 7.6 | 130 | h12:MT h10t:IMT,DCT c15:MT,AT | htx
Carens | MUV people 7 | 2022-2024 | 10.4 | 35 | h15:MT h15t:DCT c15:MT | PREMIUM PRESTIGE LUXURY
Carnival | MUV executive 7 | 2020-2023 | 28.0 | 5 | c22:AT | PREMIUM PRESTIGE LIMOUSINE
EV6 | SUV luxury 5 | 2022-2024 | 60.0 | 0.4 | uev:AT | GT_LINE
# Tata | 0.95 | teg
Nano | Hatchback city 4 | 2009-2018 | 2.1 | 22 | t06:MT,AMT | STD CX LX XT
Indica | Hatchback city 5 | 2007-2015 | 3.9 | 10 | tind:MT tsaf:MT | LE LS LX
Indica Vista | Hatchback city 5 | 2008-2014 | 4.5 | 5 | tqj:MT tsaf:MT | AQUA AURA TERRA
Bolt | Hatchback city 5 | 2015-2019 | 5.0 | 4 | t12:MT tqj:MT | xz
Tiago | Hatchback city 5 | 2016-2024 | 5.0 | 220 | t12:MT,AMT t105:MT t12g:MT | xz
Tiago NRG | Hatchback city 5 | 2018-2024 | 6.3 | 7 | t12:MT,AMT t105:MT | XT XZ
Tiago EV | Hatchback city 5 | 2022-2024 | 8.5 | 6 | tevs:AT | XE XT XZ+ XZ+_TECH_LUX
Altroz | Hatchback premium 5 | 2020-2024 | 6.4 | 110 | t12:MT,DCT t15:MT t12t:MT t12g:MT | xz
Indigo ECS | Sedan city 5 | 2008-2016 | 4.9 | 6 | tind:MT tsaf:MT | LS LX VX
Manza | Sedan city 5 | 2009-2015 | 5.8 | 4 | tqj:MT g14:MT | AQUA AURA ELAN
Zest | Sedan city 5 | 2014-2019 | 5.5 | 16 | t12:MT tqj:MT,AMT | xz
Tigor | Sedan city 5 | 2017-2024 | 5.7 | 75 | t12:MT,AMT t105:MT t12g:MT | xz
Tigor EV | Sedan city 5 | 2021-2024 | 12.3 | 2.5 | tevs:AT | XE XM XZ+
Punch | SUV suv 5 | 2021-2024 | 6.0 | 110 | t12:MT,AMT t12g:MT | PURE ADVENTURE CREATIVE
Nexon | SUV suv 5 | 2017-2024 | 7.6 | 230 | t12t:MT,AMT t15:MT,AMT | xza
Nexon EV | SUV suv 5 | 2020-2024 | 14.3 | 14 | tevl:AT tevx:AT | XM XZ+ XZ+_LUX
Harrier | SUV suv 5 | 2019-2024 | 14.5 | 60 | t20:MT,AT | xza
Safari | SUV suv 7 | 2021-2024 | 15.5 | 25 | t20:MT,AT | xza
Safari Storme | SUV people 7 | 2012-2019 | 11.5 | 9 | t22:MT | LX EX VX
Hexa | MUV people 7 | 2017-2020 | 13.2 | 11 | t22:MT,AT | XE XM XT
Sumo | MUV people 8 | 2007-2019 | 7.2 | 3 | m25:MT | GOLD_CX GOLD_EX GOLD_GX
Aria | MUV people 7 | 2010-2017 | 13.0 | 1 | t22:MT | PURE PLEASURE PRIDE_4X4
# Mahindra | 1.03 | teg
KUV 100 | Hatchback city 6 | 2016-2021 | 5.3 | 24 | m12k:MT mver:MT | K2 K4 K6 K8
KUV 100 NXT | Hatchback city 6 | 2017-2022 | 5.6 | 13 | m12k:MT | K2+ K4+ K6+ K8
XUV300 | SUV suv 5 | 2019-2024 | 8.2 | 95 | m12:MT,AMT m15:MT,AMT | w
XUV400 | SUV suv 5 | 2023-2024 | 16.0 | 2 | mev:AT | EC EL
XUV500 | SUV suv 7 | 2011-2021 | 13.0 | 110 | m22:MT,AT | w
XUV700 | SUV suv 7 | 2021-2024 | 14.0 | 60 | m20p:MT,AT m22:MT,AT | ax
Scorpio | SUV suv 7 | 2007-2022 | 10.5 | 100 | m22:MT,AT m25:MT | s
Scorpio N | SUV suv 7 | 2022-2024 | 13.3 | 28 | m22:MT,AT m20p:MT,AT | Z2 Z4 Z6 Z8 Z8_L
Scorpio Classic | SUV suv 7 | 2022-2024 | 13.0 | 7 | m22:MT | S S11
Thar | SUV suv 4 | 2015-2024 | 11.0 | 60 | m22:MT,AT m20p:MT,AT m25:MT | AX LX LX_HARD_TOP
Bolero | SUV people 7 | 2007-2024 | 8.6 | 45 | m15s:MT m25:MT | B4 B6 B6_(O)
Bolero Neo | SUV people 7 | 2021-2024 | 9.5 | 7 | m15t:MT | N4 N8 N10 N10_(O)
TUV 300 | SUV people 7 | 2015-2021 | 8.4 | 25 | m15t:MT,AMT | T4+ T6+ T8 T10
NuvoSport | SUV people 7 | 2016-2020 | 8.2 | 0.9 | m15t:MT,AMT | N4 N6 N8
Quanto | SUV people 7 | 2012-2016 | 6.7 | 4 | m15t:MT | C2 C4 C6 C8
Xylo | MUV people 8 | 2009-2019 | 8.5 | 5 | m22:MT | D2 D4 H4 H8
Marazzo | MUV people 7 | 2018-2024 | 11.5 | 14 | m15:MT | M2 M4+ M6+ M8
Verito | Sedan city 5 | 2011-2018 | 6.3 | 2 | mver:MT | D2 D4 D6
Logan | Sedan city 5 | 2007-2010 | 5.1 | 0.8 | mver:MT | GLX DLE DLX
Alturas G4 | SUV executive 7 | 2018-2022 | 27.5 | 1.6 | c22:AT | 2WD 4WD
E2O Plus | Hatchback city 4 | 2013-2019 | 7.5 | 0.6 | mevs:AT | P4 P6 P8
# Honda | 1.02 | etgm
Brio | Hatchback city 5 | 2011-2018 | 4.9 | 80 | i12:MT,AT | honda
Jazz | Hatchback premium 5 | 2009-2023 | 6.9 | 95 | i12:MT,CVT id15:MT | honda
Amaze | Sedan city 5 | 2013-2024 | 6.5 | 190 | i12:MT,CVT id15:MT,CVT | honda
City | Sedan sedan 5 | 2008-2024 | 10.2 | 240 | i15:MT,CVT id15:MT | city
City Hybrid | Sedan sedan 5 | 2022-2024 | 19.0 | 1.2 | ihev:CVT | V ZX
City ZX | Sedan sedan 5 | 2006-2008 | 7.8 | 2.5 | i15:MT,CVT | EXI GXI VTEC
Civic | Sedan executive 5 | 2007-2021 | 17.0 | 16 | i18:CVT,MT id16:MT | honda
Accord | Sedan executive 5 | 2008-2014 | 24.0 | 1.4 | i24:AT,MT | one
Mobilio | MUV people 7 | 2014-2017 | 7.9 | 11 | i15:MT id15:MT | honda
BR-V | SUV people 7 | 2016-2020 | 9.8 | 14 | i15:MT,CVT id15:MT | honda
WR-V | SUV suv 5 | 2017-2023 | 8.4 | 60 | i12:MT id15:MT | honda
Elevate | SUV suv 5 | 2023-2024 | 11.2 | 7 | i15:MT,CVT | city
CR-V | SUV executive 5 | 2007-2020 | 24.5 | 6 | i20:AT i24:AT id16:AT | 2WD 4WD
# Toyota | 1.22 | etgm
Etios Liva | Hatchback city 5 | 2011-2020 | 5.2 | 45 | y12:MT yd14:MT | toyota
Glanza | Hatchback premium 5 | 2019-2024 | 6.9 | 65 | k12:MT,CVT k12g:MT | glanza
Etios | Sedan city 5 | 2010-2020 | 6.4 | 30 | y15:MT yd14:MT | toyota
Etios Cross | Hatchback city 5 | 2014-2020 | 6.3 | 3 | y12:MT yd14:MT | G V
Yaris | Sedan sedan 5 | 2018-2021 | 9.6 | 20 | y15:MT,CVT | toyota
Corolla Altis | Sedan executive 5 | 2008-2020 | 15.0 | 28 | y18:MT,CVT yd14:MT | toyota
Corolla | Sedan executive 5 | 2006-2008 | 11.5 | 1 | y18:MT,AT | H2 H4
Camry | Sedan executive 5 | 2007-2024 | 38.0 | 2.5 | y25h:CVT | one
Prius | Sedan executive 5 | 2012-2017 | 37.0 | 0.4 | y18h:CVT | Z4 Z8
Urban Cruiser | SUV suv 5 | 2020-2022 | 8.6 | 24 | k15:MT,AT | MID HIGH PREMIUM
Urban Cruiser Hyryder | SUV suv 5 | 2022-2024 | 11.0 | 17 | k15:MT,AT y15h:CVT | glanza
Taisor | SUV suv 5 | 2024-2024 | 7.8 | 0.8 | k12:MT bjet:AT | glanza
Rumion | MUV people 7 | 2023-2024 | 10.4 | 1 | k15:MT,AT k15g:MT | S G V
Innova | MUV people 7 | 2007-2016 | 12.0 | 60 | yd25:MT | toyota
Innova Crysta | MUV people 7 | 2016-2024 | 18.0 | 65 | yd24:MT yd28:AT y27:MT,AT | inn
Innova Hycross | MUV people 7 | 2022-2024 | 19.5 | 5 | y20h:CVT | GX VX ZX ZX_(O)
Fortuner | SUV executive 7 | 2009-2024 | 30.0 | 40 | yd28:MT,AT yd30:MT,AT y27:AT | 4X2 4X4 LEGENDER
Land Cruiser Prado | SUV luxury 7 | 2010-2020 | 90.0 | 0.4 | yd30:AT | one
Land Cruiser | SUV luxury 7 | 2009-2021 | 140.0 | 0.5 | yd45:AT | one
# Renault | 0.95 | tegm
Kwid | Hatchback city 5 | 2015-2024 | 3.9 | 230 | r08:MT r10:MT,AMT | kwid
Pulse | Hatchback city 5 | 2012-2017 | 5.0 | 2 | n12:MT r15d:MT | RXE RXL RXZ
Scala | Sedan sedan 5 | 2012-2017 | 7.8 | 2 | r15:MT r15d:MT | RXE RXL RXZ
Fluence | Sedan executive 5 | 2011-2016 | 14.5 | 0.8 | r15e:MT y18:CVT | one
Duster | SUV suv 5 | 2012-2022 | 8.9 | 110 | r15d:MT r15e:MT,AMT r15:MT,CVT r13t:MT | rx
Captur | SUV suv 5 | 2017-2020 | 10.2 | 6 | r15:MT r15e:MT | RXE RXL RXT PLATINE
Lodgy | MUV people 8 | 2015-2020 | 9.0 | 6 | r15d:MT r15e:MT | rx
Triber | MUV people 7 | 2019-2024 | 5.7 | 90 | r10:MT,AMT | rx
Kiger | SUV suv 5 | 2021-2024 | 6.1 | 70 | r10:MT,AMT r10t:MT,CVT | rx
Koleos | SUV executive 5 | 2011-2017 | 23.5 | 0.5 | jl20d:AT,MT | one
# Nissan | 0.92 | tegm
Micra | Hatchback city 5 | 2010-2020 | 4.9 | 28 | n12:MT,CVT r15d:MT | nissan
Micra Active | Hatchback city 5 | 2013-2018 | 4.2 | 7 | n12:MT | XE XL XV
Sunny | Sedan sedan 5 | 2011-2020 | 7.4 | 16 | r15:MT,CVT r15d:MT | nissan
Terrano | SUV suv 5 | 2013-2020 | 10.0 | 17 | r15d:MT r15e:MT,AMT r15:MT | nissan
Kicks | SUV suv 5 | 2019-2022 | 9.8 | 12 | r15:MT r15d:MT r13t:MT,CVT | nissan
Magnite | SUV suv 5 | 2020-2024 | 5.9 | 80 | r10:MT,AMT r10t:MT,CVT | nissan
Evalia | MUV people 7 | 2012-2016 | 9.0 | 0.6 | r15d:MT | XE XL XV
Teana | Sedan executive 5 | 2007-2014 | 22.0 | 0.4 | i24:CVT | one
X-Trail | SUV executive 5 | 2009-2015 | 24.0 | 0.6 | jl20d:MT,AT | SLX LE
# Datsun | 0.86 | tegm
Go | Hatchback city 5 | 2014-2022 | 3.8 | 28 | n12:MT,CVT | datsun
Go Plus | MUV people 7 | 2015-2022 | 4.3 | 10 | n12:MT,CVT | datsun
Redi Go | Hatchback city 5 | 2016-2022 | 3.4 | 40 | r08:MT r10:MT,AMT | datsun
# Ford | 0.93 | tegm
Figo | Hatchback city 5 | 2010-2021 | 5.3 | 80 | f12:MT f14d:MT f15d:MT f15:DCT | ford
Freestyle | Hatchback premium 5 | 2018-2021 | 6.3 | 25 | f12:MT f15d:MT | ford
Aspire | Sedan city 5 | 2015-2021 | 6.4 | 35 | f12:MT f15d:MT f15:DCT | ford
Fiesta | Sedan sedan 5 | 2008-2015 | 7.9 | 7 | f15:MT,DCT f14d:MT f15d:MT | EXI ZXI SXI
Fiesta Classic | Sedan sedan 5 | 2011-2014 | 6.6 | 1.7 | f14d:MT | LXI CLXI SXI
Ikon | Sedan city 5 | 2007-2011 | 5.2 | 1.2 | f14d:MT | FLAIR ROCAM
Fusion | Hatchback city 5 | 2006-2009 | 6.1 | 0.4 | f14d:MT | one
EcoSport | SUV suv 5 | 2013-2021 | 8.3 | 150 | f15:MT,AT f15d:MT f10t:MT | ford
Endeavour | SUV executive 7 | 2009-2021 | 29.0 | 17 | f22d:AT,MT f32d:AT f20d:AT | TREND TITANIUM
Mustang | Coupe exotic 4 | 2016-2020 | 75.0 | 0.3 | jl50p:AT | GT
# Volkswagen | 0.95 | tegm
Polo | Hatchback premium 5 | 2010-2022 | 6.4 | 120 | v12:MT v10:MT v10t:MT,AT v15d:MT v12t:DSG | vw
Polo GT | Hatchback premium 5 | 2013-2022 | 9.3 | 12 | v12t:DSG v15d:MT | one
Ameo | Sedan city 5 | 2016-2020 | 6.2 | 25 | v12:MT v15d:MT,DSG v10:MT | vw
Vento | Sedan sedan 5 | 2010-2022 | 8.6 | 70 | v16:MT v10t:MT,AT v15d:MT,DSG v16d:MT v12t:DSG | vw
Jetta | Sedan executive 5 | 2008-2017 | 15.5 | 11 | v20d:MT,DSG v14t:MT | vw
Passat | Sedan executive 5 | 2008-2020 | 27.0 | 1.5 | v20d:DSG | vw
Beetle | Hatchback luxury 4 | 2010-2019 | 29.0 | 0.4 | v14t:DSG | one
Taigun | SUV suv 5 | 2021-2024 | 11.6 | 25 | v10t:MT,AT v15t:MT,DSG | vwn
Virtus | Sedan sedan 5 | 2022-2024 | 11.5 | 17 | v10t:MT,AT v15t:MT,DSG | vwn
T-Roc | SUV executive 5 | 2020-2022 | 20.5 | 3 | v15t:DSG | one
Tiguan | SUV executive 5 | 2017-2024 | 30.0 | 3.5 | v20t:DSG v20d:DSG | vw
# Skoda | 0.93 | tegm
Fabia | Hatchback premium 5 | 2008-2014 | 5.8 | 6 | v12:MT v16:MT | CLASSIC AMBIENTE ELEGANCE
Rapid | Sedan sedan 5 | 2011-2021 | 8.4 | 85 | v16:MT,AT v15d:MT,DSG v10t:MT,AT v16d:MT | skoda
Laura | Sedan executive 5 | 2007-2014 | 15.0 | 4 | v20d:MT,DSG v18t:MT | CLASSIC AMBIENTE ELEGANCE
Octavia | Sedan executive 5 | 2013-2023 | 19.0 | 22 | v18t:AT v14t:MT v20d:MT,DSG v20t:DSG | laurin
Superb | Sedan executive 5 | 2009-2023 | 27.0 | 17 | v18t:MT,DSG v20d:DSG v20t:DSG | laurin
Yeti | SUV executive 5 | 2010-2017 | 17.5 | 2 | v20d:MT | ACTIVE AMBITION ELEGANCE
Kushaq | SUV suv 5 | 2021-2024 | 11.4 | 28 | v10t:MT,AT v15t:MT,DSG | skoda
Slavia | Sedan sedan 5 | 2022-2024 | 11.2 | 20 | v10t:MT,AT v15t:MT,DSG | skoda
Karoq | SUV executive 5 | 2020-2021 | 24.5 | 1.4 | v15t:DSG | one
Kodiaq | SUV executive 7 | 2017-2024 | 34.0 | 4 | v20d:DSG v20t:DSG | laurin
# MG | 0.97 | teg
Hector | SUV suv 5 | 2019-2024 | 13.5 | 80 | mg15t:MT,DCT mg20d:MT | mg
Hector Plus | SUV suv 7 | 2020-2024 | 14.5 | 9 | mg15t:MT,CVT mg20d:MT | mg
Astor | SUV suv 5 | 2021-2024 | 10.5 | 23 | mg15:MT,CVT | mg
Gloster | SUV executive 7 | 2020-2024 | 38.0 | 4 | mg20t:AT | SUPER SHARP SAVVY
ZS EV | SUV suv 5 | 2020-2024 | 21.5 | 9 | mgev:AT | EXCITE EXCLUSIVE
Comet EV | Hatchback city 4 | 2023-2024 | 8.0 | 1.6 | mgce:AT | PACE PLAY PLUSH
# CITROEN | 0.86 | teg
C3 | Hatchback premium 5 | 2022-2024 | 6.2 | 9 | e12n:MT e12:MT | LIVE FEEL SHINE
eC3 | Hatchback premium 5 | 2023-2024 | 11.6 | 0.8 | eev:AT | LIVE FEEL
C3 Aircross | SUV suv 5 | 2023-2024 | 10.0 | 1.5 | e12:MT,AT | YOU PLUS MAX
C5 Aircross | SUV executive 5 | 2021-2024 | 31.0 | 1.2 | ce20d:AT | FEEL SHINE
# Jeep | 0.95 | teg
Compass | SUV executive 5 | 2017-2024 | 18.0 | 65 | j20d:MT,AT j14:DCT,MT | jeep
Meridian | SUV executive 7 | 2022-2024 | 30.0 | 3 | j20d:MT,AT | LIMITED LIMITED_(O)
Wrangler | SUV luxury 5 | 2016-2024 | 58.0 | 1.2 | j20p:AT j36:AT | UNLIMITED RUBICON
Grand Cherokee | SUV luxury 5 | 2016-2024 | 78.0 | 0.4 | j20p:AT j36:AT | one
# Chevrolet | 0.80 | teg
Spark | Hatchback city 5 | 2007-2017 | 3.8 | 9 | g10:MT | chevy
Beat | Hatchback city 5 | 2010-2017 | 4.4 | 33 | g12:MT g10d:MT | chevy
Aveo | Sedan city 5 | 2006-2012 | 6.2 | 1.5 | g14:MT | chevy
Aveo U-VA | Hatchback city 5 | 2007-2012 | 4.8 | 0.8 | g12:MT | chevy
Sail | Sedan city 5 | 2012-2017 | 6.0 | 4 | g12:MT g13d:MT | chevy
Sail U-VA | Hatchback city 5 | 2012-2017 | 5.0 | 2 | g12:MT g13d:MT | chevy
Optra | Sedan sedan 5 | 2007-2013 | 8.5 | 0.8 | g20d:MT | LS LT
Cruze | Sedan executive 5 | 2009-2017 | 14.5 | 11 | g20d:MT,AT | LT LTZ
Enjoy | MUV people 8 | 2013-2017 | 6.4 | 4 | g13d:MT g14:MT | chevy
Tavera | MUV people 9 | 2007-2017 | 8.5 | 2 | m25:MT | NEO_3 ELITE
Captiva | SUV executive 7 | 2008-2017 | 22.0 | 0.9 | g20d:MT,AT | LT LTZ
Trailblazer | SUV executive 7 | 2015-2017 | 25.0 | 0.4 | yd28:AT | LTZ
# Fiat | 0.79 | teg
Grande Punto | Hatchback premium 5 | 2009-2014 | 5.6 | 6 | fi12:MT fi13d:MT | fiat
Punto Evo | Hatchback premium 5 | 2014-2018 | 5.8 | 5 | fi12:MT fi13d:MT | fiat
Linea | Sedan sedan 5 | 2009-2018 | 7.6 | 5 | fi13d:MT fi14t:MT | fiat
Avventura | Hatchback premium 5 | 2014-2018 | 6.6 | 1.5 | fi13d:MT fi12:MT | fiat
Urban Cross | Hatchback premium 5 | 2016-2018 | 7.0 | 0.5 | fi13d:MT fi14t:MT | fiat
Palio | Hatchback city 5 | 2006-2009 | 4.2 | 0.5 | fi12:MT fi13d:MT | SX SLX
# Mitsubishi | 0.88 | teg
Pajero | SUV executive 7 | 2007-2012 | 22.0 | 1 | ml28d:MT | SFX GRX
Pajero Sport | SUV executive 7 | 2012-2019 | 26.0 | 3 | ml25d:AT,MT | 2WD 4WD SELECT_PLUS
Outlander | SUV executive 7 | 2008-2018 | 25.0 | 0.9 | ml24:CVT | one
Cedia | Sedan sedan 5 | 2006-2012 | 9.0 | 0.7 | g16:MT | SELECT SPORTS
Lancer | Sedan sedan 5 | 2006-2011 | 8.2 | 0.5 | ml16:MT | LXI SFXI
# ISUZU | 1.04 | teg
D-Max V-Cross | SUV people 5 | 2016-2024 | 17.0 | 2.4 | is25:MT is19:AT,MT | STANDARD Z_PRESTIGE
MU-X | SUV executive 7 | 2017-2024 | 28.0 | 1 | is30:AT is19:AT | 4X2 4X4
# Ssangyong | 0.78 | teg
Rexton | SUV executive 7 | 2012-2018 | 21.0 | 1.2 | ss20:AT,MT | RX5 RX6 RX7
# Force Motors | 0.85 | teg
Force One | SUV people 7 | 2012-2016 | 11.0 | 0.4 | t22:MT | EX SX
Gurkha | SUV people 6 | 2013-2024 | 12.0 | 1.2 | fo26:MT | XPEDITION XPLORER
Trax Cruiser | MUV people 9 | 2012-2024 | 12.0 | 0.4 | fo26:MT | one
# BMW | 0.96 | et
1 Series | Hatchback luxury 5 | 2013-2017 | 28.0 | 3 | b18d:AT | lux
2 Series Gran Coupe | Sedan luxury 5 | 2020-2024 | 41.0 | 2 | b20d:AT b20:AT | lux
3 Series | Sedan luxury 5 | 2009-2024 | 43.0 | 22 | b20d:AT b30:AT b20:AT | lux
3 Series GT | Sedan luxury 5 | 2014-2021 | 46.0 | 3 | b20d:AT b30:AT | lux
5 Series | Sedan luxury 5 | 2009-2024 | 60.0 | 14 | b20d:AT b30:AT b30d:AT | lux
6 Series GT | Sedan luxury 5 | 2018-2024 | 70.0 | 1.3 | b30:AT b20d:AT b30d:AT | LUXURY_LINE M_SPORT
7 Series | Sedan exotic 5 | 2010-2024 | 135.0 | 1.6 | b30d:AT b40:AT | DPE DPE_SIGNATURE M_SPORT
X1 | SUV luxury 5 | 2011-2024 | 38.0 | 20 | b20d:AT b20:AT b18d:AT b15:AT | lux
X3 | SUV luxury 5 | 2011-2024 | 60.0 | 6 | b20d:AT b30:AT | lux
X4 | SUV luxury 5 | 2019-2023 | 66.0 | 0.8 | b20d:AT b30:AT | M_SPORT M_SPORT_X
X5 | SUV luxury 5 | 2009-2024 | 85.0 | 4 | b30d:AT b40:AT | lux
X6 | SUV exotic 5 | 2010-2024 | 98.0 | 0.6 | b40:AT b30d:AT | M_SPORT
X7 | SUV exotic 7 | 2019-2024 | 120.0 | 0.6 | b30d:AT b40:AT | DPE M_SPORT
Z4 | Coupe exotic 2 | 2010-2024 | 78.0 | 0.3 | b40:AT b20:AT | one
M5 | Sedan exotic 5 | 2012-2023 | 155.0 | 0.2 | bm:AT | one
i4 | Sedan luxury 5 | 2022-2024 | 72.0 | 0.3 | bev:AT | M_SPORT
# Mercedes Benz | 0.97 | et
A Class | Hatchback luxury 5 | 2013-2019 | 27.0 | 5 | a180:AT a200:AT a220d:AT | SPORT STYLE
A Class Limousine | Sedan luxury 5 | 2021-2024 | 43.0 | 2 | a200:AT a220d:AT | PROGRESSIVE
B Class | Hatchback luxury 5 | 2012-2018 | 28.0 | 2 | a180:AT a200:AT | SPORT
C Class | Sedan luxury 5 | 2008-2024 | 46.0 | 24 | a220d:AT a200:AT a300:AT | merc
CLA | Sedan luxury 5 | 2015-2019 | 33.0 | 7 | a200:AT a220d:AT | STYLE SPORT URBAN_SPORT
E Class | Sedan luxury 5 | 2009-2024 | 64.0 | 17 | a220d:AT a200:AT a350d:AT | merc
CLS | Sedan exotic 5 | 2014-2021 | 85.0 | 0.4 | a350d:AT a300:AT | one
S Class | Sedan exotic 5 | 2010-2024 | 150.0 | 2.6 | a350d:AT a450:AT | L MAESTRO
GLA | SUV luxury 5 | 2014-2024 | 36.0 | 13 | a200:AT a220d:AT | STYLE SPORT AMG_LINE
GLC | SUV luxury 5 | 2016-2024 | 56.0 | 6 | a220d:AT a300:AT | STYLE PROGRESSIVE AMG_LINE
ML Class | SUV luxury 5 | 2010-2015 | 62.0 | 1.5 | a350d:AT a220d:AT | one
GLE | SUV luxury 5 | 2015-2024 | 82.0 | 4 | a350d:AT a300:AT a450:AT | STANDARD AMG_LINE
GLS | SUV exotic 7 | 2016-2024 | 110.0 | 1.4 | a350d:AT a450:AT | GRAND_EDITION MAYBACH
G Class | SUV exotic 5 | 2015-2024 | 170.0 | 0.4 | a350d:AT amg:AT | one
AMG A 45 | Hatchback exotic 5 | 2014-2024 | 78.0 | 0.3 | amg45:AT | one
EQC | SUV luxury 5 | 2020-2024 | 100.0 | 0.2 | aev:AT | one
# Audi | 0.92 | et
A3 | Sedan luxury 5 | 2014-2020 | 31.0 | 8 | u35d:AT u30:AT u40:AT | audi
A4 | Sedan luxury 5 | 2009-2024 | 42.0 | 18 | u35d:AT u40:AT u30:AT | audi
A6 | Sedan luxury 5 | 2010-2024 | 57.0 | 13 | u35d:AT u45:AT u45d:AT | audi
A7 | Sedan exotic 5 | 2012-2019 | 92.0 | 0.3 | u45d:AT | one
A8 L | Sedan exotic 5 | 2011-2024 | 125.0 | 0.5 | u45d:AT u55:AT | one
Q2 | SUV luxury 5 | 2020-2022 | 36.0 | 0.7 | u40:AT | STANDARD PREMIUM
Q3 | SUV luxury 5 | 2012-2024 | 38.0 | 12 | u35d:AT u40:AT u30:AT | audi
Q5 | SUV luxury 5 | 2010-2024 | 55.0 | 7 | u35d:AT u45:AT u45d:AT | audi
Q7 | SUV luxury 7 | 2010-2024 | 80.0 | 6 | u45d:AT u55:AT | audi
Q8 | SUV exotic 5 | 2020-2024 | 125.0 | 0.3 | u55:AT | one
TT | Coupe exotic 2 | 2012-2019 | 62.0 | 0.3 | u45:AT | one
RS7 | Sedan exotic 5 | 2015-2024 | 175.0 | 0.2 | urs:AT | one
E-Tron | SUV exotic 5 | 2021-2024 | 110.0 | 0.3 | uev:AT | one
# Volvo | 0.93 | te
S60 | Sedan luxury 5 | 2012-2024 | 42.0 | 2 | vod4:AT vo20:AT | volvo
S90 | Sedan luxury 5 | 2016-2024 | 60.0 | 0.8 | vod4:AT vo20:AT | MOMENTUM INSCRIPTION
V40 | Hatchback luxury 5 | 2013-2019 | 30.0 | 0.9 | vod4:AT vo15:AT | KINETIC R-DESIGN
XC40 | SUV luxury 5 | 2018-2024 | 43.0 | 2.2 | vod4:AT vo15:AT voev:AT | MOMENTUM INSCRIPTION
XC60 | SUV luxury 5 | 2012-2024 | 58.0 | 2.4 | vod5:AT vod4:AT vo20:AT | volvo
XC90 | SUV luxury 7 | 2015-2024 | 88.0 | 1.3 | vod5:AT vo20:AT | volvo
# Jaguar | 0.87 | te
XE | Sedan luxury 5 | 2016-2024 | 44.0 | 2.2 | jl20:AT jl20d:AT | PURE PRESTIGE PORTFOLIO
XF | Sedan luxury 5 | 2012-2024 | 54.0 | 4 | jl20d:AT jl20:AT jl30d:AT | PURE PRESTIGE PORTFOLIO
XJ L | Sedan exotic 5 | 2012-2019 | 105.0 | 0.4 | jl30d:AT jl50p:AT | PREMIUM_LUXURY PORTFOLIO
F-Pace | SUV luxury 5 | 2017-2024 | 68.0 | 0.9 | jl20d:AT jl20:AT | PURE PRESTIGE R-DYNAMIC_S
F-Type | Coupe exotic 2 | 2013-2023 | 110.0 | 0.2 | jl20:AT jl50p:AT | one
I-Pace | SUV exotic 5 | 2021-2024 | 110.0 | 0.2 | jlev:AT | S SE HSE
# Landrover | 0.94 | te
Freelander 2 | SUV luxury 5 | 2010-2015 | 42.0 | 1.4 | jl20d:AT | S SE HSE
Discovery Sport | SUV luxury 7 | 2015-2024 | 58.0 | 3.5 | jl20d:AT jl20:AT | jlr
Discovery | SUV luxury 7 | 2010-2024 | 92.0 | 0.9 | jl30d:AT jl20:AT | jlr
Range Rover Evoque | SUV luxury 5 | 2011-2024 | 60.0 | 4.5 | jl20d:AT jl20:AT | jlr
Range Rover Velar | SUV luxury 5 | 2018-2024 | 80.0 | 1.4 | jl20d:AT jl20:AT | R-DYNAMIC_S SE
Range Rover Sport | SUV exotic 5 | 2010-2024 | 130.0 | 1.2 | jl30d:AT jl30p:AT jl50p:AT | jlr
Range Rover | SUV exotic 5 | 2010-2024 | 200.0 | 0.7 | jl30d:AT jl50p:AT | VOGUE AUTOBIOGRAPHY
Defender | SUV exotic 6 | 2020-2024 | 95.0 | 0.8 | jl20:AT jl30d:AT jl30p:AT | S SE HSE
# Lexus | 1.08 | te
ES | Sedan luxury 5 | 2017-2024 | 60.0 | 0.7 | lx25h:CVT | EXQUISITE LUXURY
NX | SUV luxury 5 | 2018-2024 | 65.0 | 0.4 | lx25h:CVT | EXQUISITE F-SPORT
RX | SUV exotic 5 | 2017-2024 | 105.0 | 0.3 | lx35h:CVT | LUXURY F-SPORT
LX | SUV exotic 7 | 2012-2024 | 230.0 | 0.2 | lx57d:AT | one
# Porsche | 1.06 | te
Macan | SUV exotic 5 | 2014-2024 | 83.0 | 1 | p20:AT p29t:AT | one
Cayenne | SUV exotic 5 | 2010-2024 | 125.0 | 1.1 | p30:AT p30d:AT p40:AT | BASE PLATINUM_EDITION
Panamera | Sedan exotic 4 | 2010-2024 | 150.0 | 0.4 | p30:AT p30d:AT p40:AT | one
911 | Coupe exotic 4 | 2008-2024 | 180.0 | 0.3 | pf4:AT | S GTS
718 Boxster | Coupe exotic 2 | 2016-2023 | 130.0 | 0.2 | p20:AT | one
# Mini | 0.98 | et
Cooper | Hatchback luxury 4 | 2012-2024 | 38.0 | 4 | mi20:AT mi15:AT mid:AT | 3_DOOR 5_DOOR
Countryman | SUV luxury 5 | 2012-2024 | 43.0 | 2 | mi20:AT mid:AT | one
Clubman | Hatchback luxury 5 | 2016-2021 | 42.0 | 0.4 | mi20:AT | one
Cooper Electric | Hatchback luxury 4 | 2022-2024 | 52.0 | 0.2 | miev:AT | one
# Maserati | 0.82 | te
Ghibli | Sedan exotic 5 | 2016-2022 | 125.0 | 0.2 | mas:AT masp:AT | GRANLUSSO GRANSPORT
Levante | SUV exotic 5 | 2018-2022 | 145.0 | 0.15 | mas:AT masp:AT | GRANLUSSO GRANSPORT
# Lamborghini | 1.10 | te
Urus | SUV exotic 5 | 2018-2024 | 310.0 | 0.12 | lam:AT | one
# Bentley | 0.90 | te
Continental | Coupe exotic 4 | 2012-2024 | 300.0 | 0.1 | ben:AT | GT FLYING_SPUR
# BYD | 0.98 | te
Atto 3 | SUV luxury 5 | 2022-2024 | 34.0 | 0.6 | byd:AT | STANDARD
E6 | MUV people 5 | 2022-2024 | 29.0 | 0.3 | byd2:AT | GL GLX
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One trim of a model with one engine and one gearbox.

    ``equipment`` is 0 for the barest trim of a model and 1 for its best; ``new_price`` is in
    rupees; ``held`` says how well the make holds value (1: average); ``weight`` is the number of
    these cars among 10,000 of the whole catalogue, before ages are considered.
    """

    make: str
    model: str
    name: str
    body: str
    segment: str
    seats: int
    fuel: str
    automatic: bool
    engine_cc: int
    power_bhp: int
    equipment: float
    top: bool
    launched: int
    ended: int
    new_price: int
    held: float
    weight: float


@dataclass(frozen=True, slots=True)
class _Engine:
    fuel: str
    cc: int
    bhp: int
    launched: int
    ended: int
    label: str


@dataclass(frozen=True, slots=True)
class _Trim:
    name: str
    step: float
    equipment: float


@dataclass(frozen=True, slots=True)
class _Option:
    """An engine with a gearbox, as a model offers it; rank and place count from the usual one."""

    engine: _Engine
    gearbox: str
    rank: int
    place: int


def _text(code: str) -> str:
    return "" if code == "-" else code.replace("_", " ")


def _years(text: str) -> tuple[int, int]:
    first, last = text.split("-")
    return int(first), int(last)


@functools.cache
def _engines() -> dict[str, _Engine]:
    engines = {}
    for line in _ENGINES.strip().splitlines():
        key, fuel, cc, bhp, years, label = line.split()
        engines[key] = _Engine(fuel, int(cc), int(bhp), *_years(years), _text(label))
    return engines


def _options(text: str) -> list[_Option]:
    options = []
    for rank, code in enumerate(text.split()):
        key, gearboxes = code.split(":")
        for place, gearbox in enumerate(gearboxes.split(",")):
            options.append(_Option(_engines()[key], gearbox, rank, place))
    return options


def _trims(text: str) -> list[_Trim]:
    """Read a ladder's name, or trims with or without their price step and equipment."""
    codes = _LADDERS.get(text, text).split()
    trims = []
    for rank, code in enumerate(codes):
        if ":" in code:
            name, step, equipment = code.split(":")
            trims.append(_Trim(_text(name), float(step), float(equipment)))
        else:
            share = (rank + 0.5) / len(codes)
            trims.append(_Trim(_text(code), TRIM_STEP * rank, round(share, 3)))
    return trims


def _trim_weight(rank: int, count: int) -> float:
    """Middle trims sell best, the barest and the best trim least."""
    return math.exp(-0.5 * (((rank + 0.5) / count - 0.45) / 0.28) ** 2)


def _step(option: _Option, usual: _Option) -> float:
    """Return the rise of ln(price) from the usual engine and gearbox to another."""
    return (
        FUEL_STEPS[option.engine.fuel]
        - FUEL_STEPS[usual.engine.fuel]
        + GEARBOX_STEPS[option.gearbox]
        - GEARBOX_STEPS[usual.gearbox]
        + POWER_ELASTICITY * math.log(option.engine.bhp / usual.engine.bhp)
    )


def _name(make: str, order: str, trim: str, option: _Option) -> str:
    if make == "Maruti" and option.engine.fuel == "Diesel":
        trim = re.sub(r"XI\b", "DI", trim)  # its diesels are VDI where its petrol cars are VXI
    gearbox = "" if option.gearbox == "MT" and "m" not in order else option.gearbox
    shown = {"t": trim, "e": option.engine.label, "g": gearbox}
    return " ".join(shown[part] for part in order if shown.get(part)) or "STANDARD"


def _model_variants(make: str, held: float, order: str, line: str) -> list[Variant]:
    model, kind, years, lakh, popularity, engines, ladder = (p.strip() for p in line.split("|"))
    body, segment, seats = kind.split()
    launched, ended = _years(years)
    options, trims = _options(engines), _trims(ladder)
    found = []
    for option in options:
        engine, step = option.engine, _step(option, options[0])
        for rank, trim in enumerate(trims):
            price = float(lakh) * LAKH * math.exp(step + trim.step)
            found.append(
                Variant(
                    make=make,
                    model=model,
                    name=_name(make, order, trim.name, option),
                    body=body,
                    segment=segment,
                    seats=int(seats),
                    fuel=engine.fuel,
                    automatic=option.gearbox not in MANUAL,
                    engine_cc=engine.cc,
                    power_bhp=engine.bhp,
                    equipment=trim.equipment,
                    top=0 < rank == len(trims) - 1,
                    launched=max(launched, engine.launched),
                    ended=min(ended, engine.ended),
                    new_price=round(price / 1000) * 1000,
                    held=held,
                    weight=_trim_weight(rank, len(trims))
                    / ((1 + option.rank) * (1 + 2 * option.place)),
                )
            )
    total = sum(variant.weight for variant in found)
    share = float(popularity) / total
    return [replace(variant, weight=variant.weight * share) for variant in found]


@functools.cache
def variants() -> tuple[Variant, ...]:
    """Return every variant of the catalogue, in the order of its tables.

    Examples
    --------
    >>> from carprice.sample.catalog import variants
    >>> swift = [car for car in variants() if car.model == "Swift"]
    >>> swift[0].name, swift[0].fuel, swift[0].new_price
    ('LXI 1.2', 'Petrol', 580000)
    """
    found: list[Variant] = []
    make, held, order = "", 1.0, "teg"
    for line in _MODELS.strip().splitlines():
        if line.startswith("# "):
            make, value, order = (part.strip() for part in line[2:].split("|"))
            held = float(value)
        else:
            found.extend(_model_variants(make, held, order, line))
    return tuple(found)

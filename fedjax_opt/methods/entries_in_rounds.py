"""The methods that go in rounds: who sends what. One entry per method."""

from ..compressors import rand_k, top_k
from ..mechanisms.lazy import lag_map
from ..transforms.proximal import soft_threshold
from .adacgd_gd import adacgd_gd
from .cbag_gd import cbag_gd
from .clag_gd import clag_gd
from .clip21_gd import clip21_gd
from .clip21_sgd2m import clip21_sgd2m
from .clipped_gd import clipped_gd
from .cofig_gd import cofig_gd
from .dasha_gd import dasha_gd
from .dasha_mvr import dasha_mvr
from .dasha_page import dasha_page
from .dasha_pp import dasha_pp
from .dasha_pp_mvr import dasha_pp_mvr
from .dasha_pp_page import dasha_pp_page
from .dasha_sync_mvr import dasha_sync_mvr
from .dcgd_gd import dcgd_gd
from .dcgd_shift import dcgd_shift
from .diana_gd import diana_gd
from .diana_rr import diana_rr
from .dprox_clipped_shift import dprox_clipped_shift
from .ec_diana import ec_diana
from .ec_lsvrg_diana import ec_lsvrg_diana
from .ef14_gd import ef14_gd
from .ef21_bc import ef21_bc
from .ef21_gd import ef21_gd
from .ef21_hb import ef21_hb
from .ef21_muon import ef21_muon
from .ef21_p_diana import ef21_p_diana
from .ef21_page import ef21_page
from .ef21_plus import ef21_plus
from .ef21_pp import ef21_pp
from .ef21_prox import ef21_prox
from .ef21_sgdm import ef21_sgdm
from .ef21_weighted import ef21_weighted
from .ef_bv_gd import ef_bv_gd
from .entry import Entry
from .frecon_gd import frecon_gd
from .gdci import gdci
from .l_svrg import l_svrg
from .lag_gd import lag_gd
from .marina_gd import marina_gd
from .masha1 import masha1
from .masha2 import masha2
from .mcm import mcm
from .norm_ec_gd import norm_ec_gd
from .norm_ef21_gd import norm_ef21_gd
from .norm_ef21_sgdm import norm_ef21_sgdm
from .one_byte_sgd import one_byte_sgd
from .page import page
from .power_sgd import power_sgd
from .pp_marina import pp_marina
from .press_clip21_gd import press_clip21_gd
from .q_rr import q_rr
from .rand_diana_gd import rand_diana_gd
from .saga import saga
from .sarah import sarah
from .three_pc_v1_gd import three_pc_v1_gd
from .three_pc_v2_gd import three_pc_v2_gd
from .three_pc_v3_gd import three_pc_v3_gd
from .three_pc_v4_gd import three_pc_v4_gd
from .three_pc_v5_gd import three_pc_v5_gd
from .vr_diana import vr_diana
from .vr_gdci import vr_gdci
from .vr_marina import vr_marina

ENTRIES = {
    "ef21_muon": Entry(
        ef21_muon,
        "EF21-Muon, Top-5 %",
        "2510.00643",
        "LMO",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "ef21_gd": Entry(
        ef21_gd,
        "EF21, full gradients, Top-5 %",
        "2106.05203",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "diana_gd": Entry(
        diana_gd,
        "DIANA, full gradients, Rand-5 %",
        "1901.09269",
        "compressed",
        options={"compressor": rand_k(fraction=0.05)},
    ),
    "dcgd_gd": Entry(
        dcgd_gd,
        "DCGD, full gradients, Rand-5 %",
        "1806.06573",
        "compressed",
        options={"compressor": rand_k(fraction=0.05)},
    ),
    "dcgd_shift": Entry(
        dcgd_shift,
        "DCGD-SHIFT, Rand-5 %, shifted by the first gradients",
        "2206.10452",
        "compressed",
        options={"compressor": rand_k(fraction=0.05)},
    ),
    "one_byte_sgd": Entry(
        one_byte_sgd,
        "One byte per gradient, slopes up to 1",
        "2306.10015",
        "compressed",
        options={"clip": 1.0},
    ),
    "ef14_gd": Entry(
        ef14_gd,
        "EF14, full gradients, Top-5 %",
        "1809.07599",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "ec_diana": Entry(
        ec_diana,
        "EC-SGD-DIANA, full gradients, Top-5 % and Rand-5 %",
        "2010.12292",
        "compressed",
        options={
            "compressor": top_k(fraction=0.05),
            "shift_compressor": rand_k(fraction=0.05),
        },
    ),
    "power_sgd": Entry(
        power_sgd,
        "PowerSGD, rank 2",
        "1905.13727",
        "compressed",
        options={"rank": 2},
    ),
    "ef_bv_gd": Entry(
        ef_bv_gd,
        "EF-BV, full gradients, Top-5 %",
        "2205.04180",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "ef21_sgdm": Entry(
        ef21_sgdm,
        "EF21-SGDM, Top-5 %",
        "2305.15155",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "ef21_hb": Entry(
        ef21_hb,
        "EF21-HB, Top-5 %",
        "2110.03294",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "ef21_prox": Entry(
        ef21_prox,
        "EF21-Prox, Top-5 %, l1 norm of weight 10⁻⁴",
        "2110.03294",
        "compressed",
        options={"compressor": top_k(fraction=0.05), "prox": soft_threshold(1e-4)},
    ),
    "ef21_pp": Entry(
        ef21_pp,
        "EF21-PP, Top-5 %, one worker at a time",
        "2110.03294",
        "compressed",
        options={"compressor": top_k(fraction=0.05), "participants": 1},
    ),
    "ef21_plus": Entry(
        ef21_plus,
        "EF21+, full gradients, Top-5 %",
        "2106.05203",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "ef21_weighted": Entry(
        ef21_weighted,
        "EF21-W, full gradients, Top-5 %, equal weights",
        "2402.10774",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "ef21_page": Entry(
        ef21_page,
        "EF21-PAGE, Top-5 %",
        "2110.03294",
        "compressed",
        options={"compressor": top_k(fraction=0.05), "probability": 0.1},
    ),
    "ef21_bc": Entry(
        ef21_bc,
        "EF21-BC, Top-5 % up, Top-20 % down",
        "2110.03294",
        "compressed",
        options={
            "compressor": top_k(fraction=0.05),
            "server_compressor": top_k(fraction=0.2),
        },
    ),
    "ef21_p_diana": Entry(
        ef21_p_diana,
        "EF21-P + DIANA, Rand-5 % up, Top-5 % down",
        "2209.15218",
        "compressed",
        options={
            "compressor": rand_k(fraction=0.05),
            "model_compressor": top_k(fraction=0.05),
        },
    ),
    "mcm": Entry(
        mcm,
        "MCM, Rand-5 % both ways",
        "2102.12528",
        "compressed",
        options={
            "compressor": rand_k(fraction=0.05),
            "model_compressor": rand_k(fraction=0.05),
            "memory_step": 0.05,
        },
    ),
    "masha1": Entry(
        masha1,
        "MASHA1, Rand-50 % both ways",
        "2110.03313",
        "compressed",
        options={
            "compressor": rand_k(fraction=0.5),
            "server_compressor": rand_k(fraction=0.5),
            "momentum": 0.5,
        },
    ),
    "masha2": Entry(
        masha2,
        "MASHA2, Top-50 % both ways",
        "2110.03313",
        "compressed",
        options={
            "compressor": top_k(fraction=0.5),
            "server_compressor": top_k(fraction=0.5),
            "momentum": 0.5,
        },
    ),
    "rand_diana_gd": Entry(
        rand_diana_gd,
        "Rand-DIANA, full gradients, Rand-5 %",
        "2206.10452",
        "compressed",
        options={"compressor": rand_k(fraction=0.05)},
    ),
    "lag_gd": Entry(
        lag_gd,
        "LAG, full gradients, ζ = 1",
        "1805.09965",
        "compressed",
        options={"trigger": 1.0},
    ),
    "clag_gd": Entry(
        clag_gd,
        "CLAG, full gradients, Top-5 %, ζ = 1",
        "2202.00998",
        "compressed",
        options={"compressor": top_k(fraction=0.05), "trigger": 1.0},
    ),
    "three_pc_v1_gd": Entry(
        three_pc_v1_gd,
        "3PCv1, full gradients, Top-5 % (idealised)",
        "2202.00998",
        "compressed",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "three_pc_v2_gd": Entry(
        three_pc_v2_gd,
        "3PCv2, full gradients, Rand-5 % and Top-5 %",
        "2202.00998",
        "compressed",
        options={
            "unbiased_compressor": rand_k(fraction=0.05),
            "compressor": top_k(fraction=0.05),
        },
    ),
    "three_pc_v3_gd": Entry(
        three_pc_v3_gd,
        "3PCv3, full gradients, LAG with ζ = 1 and Top-5 %",
        "2202.00998",
        "compressed",
        options={"inner": lag_map(trigger=1.0), "compressor": top_k(fraction=0.05)},
    ),
    "three_pc_v4_gd": Entry(
        three_pc_v4_gd,
        "3PCv4, full gradients, Top-5 % twice",
        "2202.00998",
        "compressed",
        options={
            "inner_compressor": top_k(fraction=0.05),
            "compressor": top_k(fraction=0.05),
        },
    ),
    "three_pc_v5_gd": Entry(
        three_pc_v5_gd,
        "3PCv5, full gradients, Top-5 %",
        "2202.00998",
        "compressed",
        options={"compressor": top_k(fraction=0.05), "probability": 0.05},
    ),
    "cbag_gd": Entry(
        cbag_gd,
        "CBAG, full gradients, Top-5 %, half of the time",
        "2206.03588",
        "compressed",
        options={"compressor": top_k(fraction=0.05), "probability": 0.5},
    ),
    "marina_gd": Entry(
        marina_gd,
        "MARINA, full gradients, Rand-5 %",
        "2102.07845",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "probability": 0.05},
    ),
    "vr_marina": Entry(
        vr_marina,
        "VR-MARINA, Rand-5 %",
        "2102.07845",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "probability": 0.05},
    ),
    "pp_marina": Entry(
        pp_marina,
        "PP-MARINA, Rand-5 %, one worker at a time",
        "2102.07845",
        "compressed",
        options={
            "compressor": rand_k(fraction=0.05),
            "probability": 0.05,
            "count": 1,
        },
    ),
    "dasha_gd": Entry(
        dasha_gd,
        "DASHA, full gradients, Rand-5 %",
        "2202.01268",
        "compressed",
        options={"compressor": rand_k(fraction=0.05)},
    ),
    "dasha_page": Entry(
        dasha_page,
        "DASHA-PAGE, Rand-5 %",
        "2202.01268",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "probability": 0.1},
    ),
    "dasha_mvr": Entry(
        dasha_mvr,
        "DASHA-MVR, Rand-5 %",
        "2202.01268",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "momentum": 0.9},
    ),
    "l_svrg": Entry(
        l_svrg,
        "L-SVRG",
        "1901.08689",
        "variance reduced",
        options={"probability": 0.1},
    ),
    "sarah": Entry(
        sarah,
        "SARAH",
        "1703.00102",
        "variance reduced",
        options={"period": 10},
    ),
    "page": Entry(
        page,
        "PAGE",
        "2008.10898",
        "variance reduced",
        options={"probability": 0.1},
    ),
    "saga": Entry(saga, "SAGA", "1407.0202", "variance reduced"),
    "vr_diana": Entry(
        vr_diana,
        "VR-DIANA, Rand-5 %",
        "1904.05115",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "probability": 0.1},
    ),
    "ec_lsvrg_diana": Entry(
        ec_lsvrg_diana,
        "EC-LSVRG-DIANA, Top-5 % and Rand-5 %",
        "2010.12292",
        "compressed",
        options={
            "compressor": top_k(fraction=0.05),
            "shift_compressor": rand_k(fraction=0.05),
            "probability": 0.1,
        },
    ),
    "q_rr": Entry(
        q_rr,
        "Q-RR, Rand-5 %",
        "2206.07021",
        "compressed",
        options={"compressor": rand_k(fraction=0.05)},
    ),
    "diana_rr": Entry(
        diana_rr,
        "DIANA-RR, Rand-5 %",
        "2206.07021",
        "compressed",
        options={"compressor": rand_k(fraction=0.05)},
    ),
    "dasha_sync_mvr": Entry(
        dasha_sync_mvr,
        "DASHA-SYNC-MVR, Rand-5 %",
        "2202.01268",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "probability": 0.1},
    ),
    "dasha_pp": Entry(
        dasha_pp,
        "DASHA-PP, full gradients, Rand-5 %, half of the workers",
        "2205.15580",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "probability": 0.5},
    ),
    "dasha_pp_page": Entry(
        dasha_pp_page,
        "DASHA-PP-PAGE, Rand-5 %, half of the workers",
        "2205.15580",
        "compressed",
        options={
            "compressor": rand_k(fraction=0.05),
            "probability": 0.5,
            "refresh_probability": 0.1,
        },
    ),
    "dasha_pp_mvr": Entry(
        dasha_pp_mvr,
        "DASHA-PP-MVR, Rand-5 %, half of the workers",
        "2205.15580",
        "compressed",
        options={
            "compressor": rand_k(fraction=0.05),
            "probability": 0.5,
            "momentum": 0.9,
        },
    ),
    "cofig_gd": Entry(
        cofig_gd,
        "COFIG, full gradients, Rand-5 %, one worker at a time",
        "2112.13097",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "count": 1},
    ),
    "frecon_gd": Entry(
        frecon_gd,
        "FRECON, full gradients, Rand-5 %, one worker at a time",
        "2112.13097",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "count": 1},
    ),
    "gdci": Entry(
        gdci,
        "GDCI, Rand-5 %, η = 0.02",
        "2206.10452",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "mixing": 0.02},
    ),
    "vr_gdci": Entry(
        vr_gdci,
        "VR-GDCI, Rand-5 %, η = 0.02",
        "2206.10452",
        "compressed",
        options={"compressor": rand_k(fraction=0.05), "mixing": 0.02},
    ),
    "adacgd_gd": Entry(
        adacgd_gd,
        "AdaCGD, full gradients, Top-1 % or Top-5 %, ζ = 1",
        "2211.00188",
        "compressed",
        options={
            "compressors": (top_k(fraction=0.01), top_k(fraction=0.05)),
            "trigger": 1.0,
        },
    ),
    "clipped_gd": Entry(
        clipped_gd,
        "Clipped gradients, τ = 1",
        "2305.18929",
        "clipped",
        options={"threshold": 1.0},
    ),
    "clip21_gd": Entry(
        clip21_gd,
        "Clip21, full gradients, τ = 1",
        "2305.18929",
        "clipped",
        options={"threshold": 1.0},
    ),
    "press_clip21_gd": Entry(
        press_clip21_gd,
        "Press-Clip21, full gradients, Top-5 %, τ = 1",
        "2305.18929",
        "clipped",
        options={"compressor": top_k(fraction=0.05), "threshold": 1.0},
    ),
    "clip21_sgd2m": Entry(
        clip21_sgd2m,
        "Clip21-SGD2M, τ = 1",
        "2502.11682",
        "clipped",
        options={"threshold": 1.0},
    ),
    "norm_ef21_gd": Entry(
        norm_ef21_gd,
        "‖EF21‖, full gradients, Top-5 %",
        "2410.16871",
        "clipped",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "norm_ef21_sgdm": Entry(
        norm_ef21_sgdm,
        "‖EF21-SGDM‖, Top-5 %",
        "2410.16871",
        "clipped",
        options={"compressor": top_k(fraction=0.05)},
    ),
    "norm_ec_gd": Entry(
        norm_ec_gd,
        "α-NormEC, full gradients",
        "2502.13482",
        "clipped",
        options={"alpha": 1.0, "estimate_step": 0.1},
    ),
    "dprox_clipped_shift": Entry(
        dprox_clipped_shift,
        "DProx-clipped-SGD-shift, τ = 1",
        "2310.01860",
        "clipped",
        options={"threshold": 1.0, "shift_step": 0.5},
    ),
}

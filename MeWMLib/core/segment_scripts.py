"""Names of segments in Chinese, Japanese and Korean, which put no space between words: word by word into English.

What is not in the table stays as it is: it is a word that nobody knows, and is asked.
"""

from __future__ import annotations

import re

_WORDS = {
    word: english
    for english, words in {
        "liver": "肝脏 肝臟 肝臓 肝 간",
        "tumor": "肿瘤 腫瘤 腫瘍 종양",
        "lesion": "病灶 病变 病變 病変 占位 병변",
        "metastasis": "转移瘤 轉移瘤 转移灶 转移 轉移 転移 전이",
        "nodule": "结节 結節",
        "hepatocellular carcinoma": "肝细胞癌 肝細胞癌 간세포암",
        "cancer": "癌症 癌 암",
        "tumor thrombus": "癌栓 瘤栓",
        "thrombus": "血栓",
        "hemangioma": "血管瘤",
        "adenoma": "腺瘤",
        "cyst": "囊肿 囊腫 嚢胞",
        "abscess": "脓肿 膿瘍",
        "necrosis": "坏死 壞死 壊死",
        "hemorrhage": "出血",
        "ascites": "腹水",
        "lipiodol": "碘油",
        "embolization": "栓塞",
        "ablation": "消融",
        "portal vein": "门静脉 門静脈 門靜脈 门脉 門脈",
        "inferior vena cava": "下腔静脉 下腔靜脈 下大静脈",
        "aorta": "主动脉 主動脈 大動脈",
        "vein": "静脉 靜脈 静脈",
        "artery": "动脉 動脈",
        "vessel": "血管",
        "spleen": "脾脏 脾臟 脾臓 脾",
        "kidney": "肾脏 腎臟 腎臓 肾 腎",
        "adrenal": "肾上腺 腎上腺 副腎",
        "gallbladder": "胆囊 膽囊 胆嚢",
        "bile duct": "胆管 膽管",
        "pancreas": "胰腺 胰臟 膵臓 胰 膵",
        "stomach": "胃",
        "lung": "肺脏 肺",
        "heart": "心脏 心臟 心臓",
        "bone": "骨",
        "spine": "脊柱 脊椎",
        "esophagus": "食管 食道",
        "duodenum": "十二指肠 十二指腸",
        "colorectal": "结直肠 結直腸 大腸",
        "colon": "结肠 結腸",
        "rectum": "直肠 直腸",
        "bowel": "小肠 小腸",
        "bladder": "膀胱",
        "prostate": "前列腺",
        "uterus": "子宫 子宮",
        "breast": "乳腺",
        "brain": "大脑 脑 脳",
        "lymph": "淋巴结 淋巴",
        "left": "左",
        "right": "右",
        "whole": "全",
        "lobe": "叶 葉",
        "segment": "段",
        "parenchyma": "实质 實質 実質",
        "normal": "正常",
        "healthy": "健康",
        "background": "背景",
        "without": "不含",
        "no": "无 無",
        "non": "非",
        "excluding": "除去 去除 除",
        "including": "包括 包含 含",
        "and": "和 与 與 及",
        "peri": "周围 周圍 周",
        "para": "旁",
        "outside": "外",
        "margin": "边缘 邊緣",
        "remnant": "残余 剩余 残",
        "benign": "良性",
        "suspicious": "疑似 可疑",
        "post": "术后 術後",
        "viable": "存活 活性",
    }.items()
    for word in words.split()
}
_FIND = re.compile("|".join(sorted(_WORDS, key=len, reverse=True)))


def in_english(text: str) -> str:
    """The text with every word of the table in English, the longest one first, and spaces about it."""
    return _FIND.sub(lambda found: f" {_WORDS[found[0]]} ", text)

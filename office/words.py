"""The words of the rules, for people: kinds of activity (5), grounds not to record (6), causes, misconduct (27)."""

from __future__ import annotations

from typing import Final

KINDS: Final = {
    "inspection": "日常执法检查",
    "complaint": "投诉举报处置",
    "case": "案件调查取证、先行登记保存",
    "service": "证据、文书送达",
    "coercion": "行政强制措施",
    "other": "其他现场执法",
}
"""Rule 5, in its order."""

GROUNDS: Final = {
    "explosive": "爆炸危险区域，未配备防爆设备",
    "secrecy": "国家秘密、商业秘密、个人隐私",
    "urgent": "情况紧急",
    "impossible": "客观原因无法记录",
}
"""Rule 6, in its order: when recording may be left out."""

QUESTIONS: Final = (
    "规定事项是否记录",
    "全过程是否不间断",
    "移交、管理、使用",
)
"""Rule 26, in its order: what an inspection looks at."""

MISCONDUCT: Final = (
    "故意删除有效证据信息",
    "擅自借给他人使用",
    "不按规定记录",
    "泄露音像资料内容",
    "摄录虚假信息、删改资料",
    "用于非单位工作",
    "设备遗失被盗、资料损毁丢失",
    "其他违反管理使用规定",
)
"""Rule 27, in its order."""

import { translator } from './locale.svelte';

const en = {
  title: 'Sign in',
  text: 'For teachers and operators. Students need no account.',
  username: 'User name',
  password: 'Password',
  submit: 'Sign in',
  wrong: 'User name or password is not right.',
  linkUsed: 'This link was used already or has run out. Sign in with your password.',
  signingIn: 'Signing in…',
  student: 'I am a student',
};

type Key = keyof typeof en;

const ko: Record<Key, string> = {
  title: '로그인',
  text: '선생님과 관리자용입니다. 학생은 계정이 필요 없습니다.',
  username: '사용자 이름',
  password: '비밀번호',
  submit: '로그인',
  wrong: '사용자 이름 또는 비밀번호가 맞지 않습니다.',
  linkUsed: '이미 썼거나 기한이 지난 링크입니다. 비밀번호로 로그인해 주세요.',
  signingIn: '로그인하는 중…',
  student: '저는 학생이에요',
};

export const tl = translator<Key>(en, ko);

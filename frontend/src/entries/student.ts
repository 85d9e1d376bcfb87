import '../styles/base.css';
import { mount } from 'svelte';
import Watch from '../pages/Watch.svelte';
import { codeFromPath } from '../state/address';

mount(Watch, { target: document.getElementById('app')!, props: { code: codeFromPath(location.pathname) } });
